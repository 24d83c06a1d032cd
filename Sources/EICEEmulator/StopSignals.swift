import CLinux
import Dispatch
import Failures
import Glibc
import SocketIO

/// What tells the program to end: SIGTERM, SIGINT, or the end of its parent.
struct StopSignals: Sendable {
    private let stream: AsyncStream<Void>

    /// From here on the signals no longer end the process by themselves.
    init(withParent: Bool) {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        self.stream = stream
        signal(SIGPIPE, SIG_IGN)
        for number in [SIGTERM, SIGINT] {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            // The handler holds the source, which nobody else does: it lives as long as the process.
            source.setEventHandler {
                continuation.yield()
                withExtendedLifetime(source) {}
            }
            source.activate()
        }
        guard withParent else { return }
        let descriptor = clinux_pidfd_open(getppid())
        guard descriptor >= 0 else {
            // It is gone already.
            continuation.yield()
            return
        }
        // A pidfd is readable when its process has ended.
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: .global())
        source.setEventHandler {
            continuation.yield()
            source.cancel()
        }
        source.setCancelHandler { close(descriptor) }
        source.activate()
    }

    /// Returns at the first of them.
    func wait() async {
        for await _ in stream { return }
    }
}

enum StandardStream {
    /// Writes all of it in one call where the system allows, so that a reader sees all lines or none.
    static func write(_ text: String, to descriptor: CInt) { _ = TextOutput.write(text, to: descriptor) }

    /// Writes an answer to stdout.
    ///
    /// - Throws: when it cannot be written. A reader that is gone has had what it wanted.
    static func answer(_ text: String) throws(Failure) {
        signal(SIGPIPE, SIG_IGN)
        guard let error = TextOutput.write(text, to: STDOUT_FILENO), error.code != EPIPE else { return }
        throw Failure(.stateNotSaved, "cannot write to stdout", why: error.reason)
    }
}
