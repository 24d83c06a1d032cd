import CLinux
import Descriptors
import Glibc

/// Copies input → stream and stream → output until the stream has ended or nobody reads the output. One thread, one
/// poll(2): at rest it costs nothing, and a direction that stands still does not hold up the other.
struct StreamCopy {
    enum End: Equatable {
        /// The reader of the output went away.
        case outputGone
        /// The stream's end of file; all that came before it was written.
        case streamEnded(received: UInt64)
        case streamFailed(SystemError)
        /// The output takes nothing more, as a full disk does not.
        case outputFailed(SystemError)
    }

    /// One direction: bytes read and not yet written.
    private struct Half {
        private var bytes: UnsafeMutableRawBufferPointer
        private var from = 0
        private var to = 0
        /// No more comes in.
        var ended = false

        static let capacity = 64 << 10

        init() { bytes = .allocate(byteCount: Self.capacity, alignment: 4096) }

        func free() { bytes.deallocate() }

        var isEmpty: Bool { from == to }

        /// - Returns: what the call returned.
        mutating func fill(_ read: (UnsafeMutableRawPointer?, Int) -> Int) -> Int {
            let count = read(bytes.baseAddress, bytes.count)
            from = 0
            to = max(0, count)
            return count
        }

        mutating func drain(_ write: (UnsafeRawPointer?, Int) -> Int) -> Int {
            let count = write(bytes.baseAddress.map { UnsafeRawPointer($0 + from) }, to - from)
            if count > 0 { from += count }
            return count
        }

        mutating func discard() { from = to }
    }

    private let input: CInt
    private let inputIsSocket: Bool
    private let output: CInt
    private let outputIsSocket: Bool
    /// The most bytes of one write that cannot block the process.
    private let outputChunk: Int
    private let stream: CInt
    private let owner: FileDescriptor
    private var up = Half()
    private var down = Half()
    private var received: UInt64 = 0

    /// - Parameter stream: put into non-blocking mode; it is this process's own. Input and output are shared with others
    ///   (a terminal with the shell, a pipe with whoever made it), and their mode is left as it is.
    init(input: CInt, output: CInt, stream: FileDescriptor) throws(SystemError) {
        try stream.setNonBlocking()
        owner = stream
        self.stream = stream.raw
        self.input = input
        self.output = output
        inputIsSocket = Self.type(of: input) == S_IFSOCK
        outputIsSocket = Self.type(of: output) == S_IFSOCK
        outputChunk = Self.openAnew(output) || outputIsSocket ? Half.capacity : Int(PIPE_BUF)
    }

    private static func type(of descriptor: CInt) -> mode_t {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
    }

    /// Puts a file description of our own behind `descriptor`, if it is a pipe: non-blocking, which the one that was
    /// inherited must not become. Without it a write may take as much as is surely there: PIPE_BUF (pipe(7)).
    private static func openAnew(_ descriptor: CInt) -> Bool {
        guard type(of: descriptor) == S_IFIFO else { return false }
        let again = open("/proc/self/fd/\(descriptor)", O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        guard again >= 0 else { return false }
        defer { close(again) }
        return dup2(again, descriptor) >= 0
    }

    mutating func run() -> End {
        defer {
            up.free()
            down.free()
            owner.close()
        }
        while true {
            if down.ended && down.isEmpty { return .streamEnded(received: received) }
            var polled = interests()
            guard poll(&polled, nfds_t(polled.count), -1) >= 0 else {
                if errno == EINTR { continue }
                return .streamFailed(SystemError("poll"))
            }
            let gone = Int16(POLLHUP | POLLERR | POLLNVAL)
            if polled[1].revents & gone != 0 {
                sendLastWords()
                return .outputGone
            }
            if polled[2].revents & ~Int16(POLLOUT) != 0, down.isEmpty, !down.ended, let error = readStream() {
                return .streamFailed(error)
            }
            if polled[1].revents & Int16(POLLOUT) != 0 || !down.isEmpty, let error = writeOutput() {
                return error.code == EPIPE || error.code == ECONNRESET ? .outputGone : .outputFailed(error)
            }
            if polled[0].revents != 0, up.isEmpty { readInput() }
            if !up.isEmpty { writeStream() }
        }
    }

    /// A descriptor nobody wants anything of is left out, since poll reports a hang-up again and again; the output alone
    /// is always watched, for its reader's leaving.
    private func interests() -> [pollfd] {
        var streamEvents: Int32 = 0
        if down.isEmpty && !down.ended { streamEvents |= POLLIN }
        if !up.isEmpty { streamEvents |= POLLOUT }
        return [
            pollfd(fd: up.isEmpty && !up.ended ? input : -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: output, events: down.isEmpty ? 0 : Int16(POLLOUT), revents: 0),
            pollfd(fd: streamEvents == 0 ? -1 : stream, events: Int16(streamEvents), revents: 0),
        ]
    }

    private mutating func readStream() -> SystemError? {
        let stream = stream
        let count = down.fill { recv(stream, $0, $1, 0) }
        if count > 0 {
            received += UInt64(count)
        } else if count == 0 {
            down.ended = true
        } else if errno != EAGAIN && errno != EINTR {
            return SystemError("read from the tunnel")
        }
        return nil
    }

    /// - Returns: why the output takes nothing more.
    private mutating func writeOutput() -> SystemError? {
        let (output, isSocket, chunk) = (output, outputIsSocket, outputChunk)
        while !down.isEmpty {
            let count = down.drain { bytes, length in
                isSocket
                    ? send(output, bytes, length, CInt(MSG_DONTWAIT | MSG_NOSIGNAL))
                    : write(output, bytes, min(length, chunk))
            }
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN { return nil }
            if count < 0 { return SystemError("write") }
            // With a blocking pipe only what poll announced may be written.
            if chunk < Half.capacity { return nil }
        }
        return nil
    }

    private mutating func readInput() {
        let (input, isSocket) = (input, inputIsSocket)
        let count = up.fill { isSocket ? recv(input, $0, $1, CInt(MSG_DONTWAIT)) : read(input, $0, $1) }
        if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { endUp() }
    }

    private mutating func writeStream() {
        let stream = stream
        while !up.isEmpty {
            let count = up.drain { send(stream, $0, $1, CInt(MSG_NOSIGNAL)) }
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN { return }
            if count < 0 {
                // The other end takes nothing more; what it still has to say is read until its end of file.
                up.discard()
                up.ended = true
            }
        }
    }

    /// The end of the input is a half-close: the stream's bytes keep coming.
    private mutating func endUp() {
        up.ended = true
        _ = shutdown(stream, CInt(SHUT_WR))
    }

    /// Whoever wrote and left at once is delivered, as far as that needs no waiting.
    private mutating func sendLastWords() {
        for _ in 0..<64 {
            writeStream()
            guard up.isEmpty, !up.ended else { return }
            var ready = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
            guard poll(&ready, 1, 0) == 1, ready.revents & Int16(POLLIN) != 0 else { return }
            readInput()
        }
    }
}
