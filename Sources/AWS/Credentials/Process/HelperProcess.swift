import Bounds
import CLinux
import Descriptors
import Failures
import Glibc
import Synchronization

/// Runs a helper program (`credential_process`) without a shell and collects what it prints, within a time and a size.
///
/// One thread waits for each running helper in poll(2), on its pipes, its pidfd and a descriptor for cancellation. A helper that
/// is late or prints too much is killed with its whole process group.
struct HelperProcess: Sendable {
    struct Output: Sendable {
        /// The exit status; nil where a signal ended it.
        var status: Int32?
        var output: [UInt8]
        /// The beginning of what it wrote to its error stream.
        var errors: [UInt8]
    }

    enum Trouble: Error, Sendable, Hashable {
        case notStarted(Int32)
        case tooLate
        case tooMuch
        case cancelled
        /// An earlier run of the same command was killed and has not ended: its file system hangs.
        case stuck
    }

    let arguments: [String]
    let environment: Environment
    var timeout: Duration = .seconds(60)
    var largestOutput = 64 << 10

    /// Waits for the helper's end without holding the calling thread.
    func run() async throws(Trouble) -> Output {
        guard !Self.unended.withLock({ $0[arguments].map { ContinuousClock.now - $0 > .seconds(1) } ?? false }) else {
            throw .stuck
        }
        let cancellation = Cancellation()
        let result: Result<Output, Trouble> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isStarted = DedicatedThread.start {
                    var child = pid_t(0)
                    let result = Result { () throws(Trouble) in try self.runHere(cancellation, &child) }
                    // Killing does not end a process whose file system hangs: only this thread waits for that.
                    if child > 0 { Self.unended.withLock { $0[self.arguments] = $0[self.arguments] ?? .now } }
                    continuation.resume(returning: result)
                    if child > 0 {
                        _ = Self.reap(child)
                        Self.unended.withLock { $0[self.arguments] = nil }
                    }
                }
                if !isStarted { continuation.resume(returning: .failure(.notStarted(EAGAIN))) }
            }
        } onCancel: {
            cancellation.cancel()
        }
        return try result.get()
    }

    /// Commands that were killed and have not ended, and since when.
    private static let unended = Mutex<[[String]: ContinuousClock.Instant]>([:])

    /// An eventfd that becomes readable when the caller gives up.
    private final class Cancellation: Sendable {
        let descriptor = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        func cancel() { eventfd_write(descriptor, 1) }
        deinit { if descriptor >= 0 { close(descriptor) } }
    }

    /// - Parameter child: the process that the caller must wait for: it was killed, which may take a while.
    private func runHere(_ cancellation: Cancellation, _ child: inout pid_t) throws(Trouble) -> Output {
        let deadline = ContinuousClock.now + timeout
        var out: [Int32] = [-1, -1]
        var err: [Int32] = [-1, -1]
        guard clinux_pipe(&out) == 0 else { throw .notStarted(errno) }
        defer { close(out[0]) }
        guard clinux_pipe(&err) == 0 else {
            close(out[1])
            throw .notStarted(errno)
        }
        defer { close(err[0]) }
        var pid = pid_t(0)
        let failure = spawn(out[1], err[1], cancellation, &pid)
        close(out[1])
        close(err[1])
        if failure < 0 {
            kill(-pid, SIGKILL)
            kill(pid, SIGKILL)
            child = pid
            throw failure == -1 ? .tooLate : .cancelled
        }
        guard failure == 0 else { throw .notStarted(failure) }
        let process = clinux_pidfd_open(pid)
        defer { if process >= 0 { close(process) } }
        do throws(Trouble) {
            var output = Output(status: nil, output: [], errors: [])
            try collect(&output, out[0], err[0], process, cancellation.descriptor, deadline)
            output.status = Self.reap(pid)
            return output
        } catch {
            kill(-pid, SIGKILL)
            child = pid
            throw error
        }
    }

    private func spawn(
        _ output: Int32, _ errors: Int32, _ cancellation: Cancellation, _ pid: inout pid_t
    ) -> Int32 {
        var argumentList: [UnsafeMutablePointer<CChar>?] = arguments.map { $0.duplicateSystemString() } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] =
            environment.values.map { "\($0.key)=\($0.value)".duplicateSystemString() } + [nil]
        defer { for text in argumentList + variables { free(text) } }
        return clinux_spawn_helper_within(
            &argumentList, &variables, output, errors, cancellation.descriptor, Int32(clamping: timeout.milliseconds),
            &pid)
    }

    /// Reads until the program has ended. What a child of its own still holds open is not waited for.
    private func collect(
        _ result: inout Output, _ out: Int32, _ err: Int32, _ process: Int32, _ cancellation: Int32,
        _ deadline: ContinuousClock.Instant
    ) throws(Trouble) {
        for descriptor in [out, err] { _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK) }
        var isOutOpen = true
        var isErrOpen = true
        while true {
            let left = deadline - ContinuousClock.now
            guard left > .zero else { throw .tooLate }
            // A negative descriptor is passed over.
            var waits = [
                pollfd(fd: isOutOpen ? out : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: isErrOpen ? err : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: process, events: Int16(POLLIN), revents: 0),
                pollfd(fd: cancellation, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&waits, nfds_t(waits.count), Int32(clamping: left.milliseconds))
            if count < 0, errno != EINTR { throw .notStarted(errno) }
            if waits[3].revents != 0 { throw .cancelled }
            isOutOpen = isOutOpen && Self.drain(out, into: &result.output, limit: largestOutput + 1)
            guard result.output.count <= largestOutput else { throw .tooMuch }
            // A program that writes a lot of errors is not stopped by it: the rest is thrown away.
            isErrOpen = isErrOpen && Self.drain(err, into: &result.errors, limit: 4_096)
            if waits[2].revents != 0 || process < 0 && !isOutOpen && !isErrOpen { return }
        }
    }

    /// Reads what is there; keeps `limit` bytes. False at the end of the stream.
    private static func drain(_ descriptor: Int32, into bytes: inout [UInt8], limit: Int) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return false }
            if count < 0 { return errno == EAGAIN || errno == EINTR }
            bytes += chunk.prefix(min(count, limit - bytes.count))
            if bytes.count >= limit, count == chunk.count { return true }
        }
    }

    private static func reap(_ pid: pid_t) -> Int32? {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 { if errno != EINTR { return nil } }
        // WIFEXITED and WEXITSTATUS are macros.
        return status & 0x7F == 0 ? status >> 8 & 0xFF : nil
    }
}
