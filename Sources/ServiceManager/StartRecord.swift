import CLinux
import Glibc
import SocketIO

/// The starts of processes that did not end as they should, in a file that has no name and that the service manager keeps
/// (memfd_create(2)): it is gone with the service's stop, and no disk can be full.
public struct StartRecord: Sendable {
    public static let name = "starts"
    private static let longest = 64

    public let file: FileDescriptor

    /// Finds the record among what was passed, or begins one; then notes this start in it.
    ///
    /// - Returns: the ages of the starts before this one. Nil where nobody would keep the record.
    public static func begin(
        _ adopted: inout AdoptedSockets, notifier: Notifier
    ) -> (record: StartRecord, ages: [Duration])? {
        guard notifier.hasListener else { return nil }
        let file: FileDescriptor
        if let kept = adopted.remove(named: name).first {
            file = kept
        } else {
            let raw = clinux_memory_file(name)
            guard raw >= 0 else { return nil }
            file = FileDescriptor(takingOwnership: raw)
            notifier.store(file, as: name)
        }
        let record = StartRecord(file: file)
        let now = record.now
        let starts = record.starts.suffix(longest - 1)
        record.write(starts + [now])
        return (record, starts.map { .nanoseconds(now - $0) })
    }

    /// This process ends as it should: nothing speaks against the next one.
    public func clear() { _ = ftruncate(file.raw, 0) }

    private var starts: [Int64] {
        var values = [Int64](repeating: 0, count: Self.longest)
        let count = values.withUnsafeMutableBytes { pread(file.raw, $0.baseAddress, $0.count, 0) }
        return Array(values.prefix(max(0, count) / MemoryLayout<Int64>.size))
    }

    private func write(_ starts: [Int64]) {
        clear()
        _ = starts.withUnsafeBytes { pwrite(file.raw, $0.baseAddress, $0.count, 0) }
    }

    /// Nanoseconds since the machine's start, sleep included: nobody sets this clock.
    private var now: Int64 {
        var time = timespec()
        _ = clock_gettime(CLOCK_BOOTTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
