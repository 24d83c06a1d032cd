import Glibc
import SocketIO
import Synchronization

/// Runs `body`, which may block, on a thread of its own, and waits for its result without holding a thread of Swift's
/// pool: that pool has one thread a core, and all tests share it.
public func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await handedOver { done in startThread { done(Result { try body() }) } }.get()
}

/// Waits until somebody, on whatever thread, hands a value over. `begin` gets the function for that, to be called once.
///
/// The value goes through a lock and not through the continuation: where it comes before this one waits for it, Swift's runtime does not
/// tell the thread sanitizer that what happened before is seen.
public func handedOver<Value: Sendable>(_ begin: (@escaping @Sendable (Value) -> Void) -> Void) async -> Value {
    let handed = Handed<Value>()
    await withCheckedContinuation { continuation in
        begin { value in
            handed.value.withLock { $0 = value }
            continuation.resume()
        }
    }
    guard let value = handed.value.withLock({ $0 }) else { preconditionFailure("resumed without a value") }
    return value
}

private final class Handed<Value: Sendable>: Sendable {
    let value = Mutex<Value?>(nil)
}

/// Starts a detached thread.
public func startThread(_ body: @escaping @Sendable () -> Void) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
    defer { pthread_attr_destroy(&attributes) }
    var thread = pthread_t()
    let work = Unmanaged.passRetained(ThreadBody(body))
    let code = pthread_create(
        &thread, &attributes,
        { raw in
            if let raw { Unmanaged<ThreadBody>.fromOpaque(raw).takeRetainedValue().run() }
            return nil
        }, work.toOpaque())
    precondition(code == 0, "a test machine that cannot start a thread cannot run the tests")
}

/// A body that runs on a thread of its own while another one goes on, which waits for it in the end. For threads alone, since
/// waiting blocks.
public final class Joined: Sendable {
    private let state = Mutex<Result<Void, any Error>?>(nil)
    private let ends: (near: FileDescriptor, far: FileDescriptor)

    public init(_ body: @escaping @Sendable () throws -> Void) throws {
        ends = try FileDescriptor.socketPair()
        startThread {
            let result = Result { try body() }
            self.state.withLock { $0 = result }
            self.ends.far.close()
        }
    }

    /// Throws what the body threw.
    public func wait() throws {
        var waiting = pollfd(fd: ends.near.raw, events: Int16(POLLIN), revents: 0)
        while poll(&waiting, 1, -1) < 0 && errno == EINTR {}
        try state.withLock { $0 }?.get()
    }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Lets a few pass at a time. Tests run all at once; those that start a daemon, an emulator and an sshd each would
/// otherwise fight for two cores and miss their deadlines together.
public actor Turnstile {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    public init(_ width: Int) { free = width }

    /// Runs `body` when it is its turn, first come, first served.
    public nonisolated func pass<Value>(_ body: () async throws -> Value) async throws -> Value {
        await enter()
        do {
            let value = try await body()
            await leave()
            return value
        } catch {
            await leave()
            throw error
        }
    }

    private func enter() async {
        if free > 0 {
            free -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    private func leave() {
        if waiting.isEmpty {
            free += 1
        } else {
            waiting.removeFirst().resume()
        }
    }
}

/// Holds threads up until it is opened.
public final class Gate: Sendable {
    private let near: FileDescriptor
    private let far: FileDescriptor

    public init() throws { (near, far) = try FileDescriptor.socketPair() }

    public func open() { far.close() }

    /// Blocks; for threads alone.
    public func wait() {
        var waiting = pollfd(fd: near.raw, events: Int16(POLLIN), revents: 0)
        while poll(&waiting, 1, 30_000) < 0 && errno == EINTR {}
    }
}
