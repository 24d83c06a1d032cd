import Glibc

/// A value behind a POSIX mutex, for what a thread of our own shares with Swift's tasks: the thread sanitizer does not see the
/// hand-over through `Synchronization.Mutex` there, and would report each access as a race.
///
/// Unchecked, since the compiler cannot know: the mutex is held around every access to `value`.
final class Guarded<Value>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var value: Value

    init(_ value: Value) {
        self.value = value
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&value)
    }
}
