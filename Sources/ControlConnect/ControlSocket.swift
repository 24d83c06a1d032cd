import CLinux
import ControlProtocol
import Descriptors
import Failures
import Glibc

/// The client's end of the control socket: blocking, with deadlines, byte-exact. Belongs to one thread.
///
/// A line is looked at first (MSG_PEEK) and then taken up to its newline and no further, since what follows the result of
/// `connect` is the tunnel's, and is read by somebody else.
package final class ControlSocket {
    package let descriptor: FileDescriptor
    package let path: String
    private var received: [FileDescriptor] = []
    private var peeked = [UInt8](repeating: 0, count: 16 << 10)

    /// Takes a connected socket, whose other end was not looked at yet.
    package init(connected: FileDescriptor, path: String) throws(Failure) {
        descriptor = connected
        self.path = path
        var peer = clinux_peer_credentials()
        guard clinux_peer_credentials_of(connected.raw, &peer) == 0 else {
            throw unreachable(SystemError("ask who is at the other end").reason)
        }
        if let failure = Self.foreign(peer: peer.uid, own: geteuid(), path: path) { throw failure }
    }

    /// Who serves the socket learns targets and gets the stream: nobody but this user may.
    static func foreign(peer: uid_t, own: uid_t, path: String) -> Failure? {
        guard peer != own else { return nil }
        return Failure(
            .foreignSocket, "will not talk to whoever serves \(path)",
            why: "it belongs to uid \(peer), and you are uid \(own)",
            hint: "run eicectl as the user whose eiced it is, or name your own socket with --socket")
    }

    /// Connects to the socket at `path`.
    package static func connect(to path: String, timeout: Duration) throws(Failure) -> ControlSocket {
        let raw = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else {
            throw Failure(.internal, "cannot make a socket", why: SystemError("socket").reason)
        }
        let descriptor = FileDescriptor(takingOwnership: raw)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = path.systemBytes
        guard bytes.count <= SocketPath.maximumLength, !bytes.contains(0) else {
            throw Failure(.configuration, "cannot use the control socket \(path)", why: "the path is too long")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        // On a Unix socket this bounds connect(2) too, which waits while the daemon's backlog is full.
        var limit = timeval(tv_sec: Int(timeout.components.seconds), tv_usec: 0)
        setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let outcome = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if outcome != 0 { throw notConnected(path, SystemError("connect")) }
        return try ControlSocket(connected: descriptor, path: path)
    }

    static func notConnected(_ path: String, _ error: SystemError) -> Failure {
        let what = "cannot reach eiced at \(path)"
        switch error.code {
        case ENOENT:
            return Failure(.daemonUnreachable, what, why: "no such file", hint: "systemctl --user start eiced")
        case ECONNREFUSED:
            return Failure(
                .daemonUnreachable, what, why: "nobody listens on it", hint: "systemctl --user start eiced")
        case EACCES, EPERM:
            return Failure(
                .foreignSocket, what, why: error.reason,
                hint: "run eicectl as the user whose eiced it is, or name your own socket with --socket")
        case EAGAIN:
            return Failure(
                .daemonUnreachable, what, why: "it takes no connections",
                hint: "systemctl --user status eiced; then systemctl --user restart eiced")
        default:
            return Failure(.daemonUnreachable, what, why: error.reason, hint: "systemctl --user status eiced")
        }
    }

    private func unreachable(_ why: String) -> Failure {
        Failure(.daemonUnreachable, "cannot talk to eiced at \(path)", why: why, hint: "systemctl --user status eiced")
    }

    /// Writes all of `bytes`. A daemon that has closed already is no error here: what it said before that is worth
    /// more, and is read next.
    package func write(_ bytes: [UInt8], until deadline: TimeLimit?) throws(Failure) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                send(
                    descriptor.raw, buffer.baseAddress.map { $0 + sent }, buffer.count - sent,
                    CInt(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            if count >= 0 {
                sent += count
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN: try wait(for: POLLOUT, until: deadline)
            case EPIPE, ECONNRESET: return
            default: throw unreachable(SystemError("write").reason)
            }
        }
    }

    /// The next line without its newline, or nil at the end of file.
    ///
    /// - Parameter watching: a descriptor whose hang-up ends the wait with `.connectionLost`.
    package func readLine(
        until deadline: TimeLimit?, watching: CInt? = nil
    ) throws(Failure) -> [UInt8]? {
        var line: [UInt8] = []
        while true {
            try wait(for: POLLIN, until: deadline, watching: watching)
            let seen = recv(
                descriptor.raw, &peeked, peeked.count, CInt(MSG_PEEK | MSG_DONTWAIT))
            if seen == 0 {
                guard line.isEmpty else { throw unreachable("it closed the connection within a line") }
                return nil
            }
            guard seen > 0 else {
                switch errno {
                case EINTR, EAGAIN: continue
                case ECONNRESET: return nil
                default: throw unreachable(SystemError("read").reason)
                }
            }
            let newline = peeked[..<seen].firstIndex(of: ControlWire.newline)
            try take(newline.map { $0 + 1 } ?? seen, into: &line)
            if newline != nil {
                line.removeLast()
                return line
            }
            guard line.count <= ControlWire.maximumReplyLength else {
                throw Failure(.lineTooLong, "cannot understand eiced at \(path)", why: "its line is over 64 MiB")
            }
        }
    }

    /// The next line without its newline, if it is whole already and one that is wanted. Otherwise nothing is taken: what came,
    /// and an end of file too, is there for the next one who reads.
    func takeLine(
        until deadline: TimeLimit?, watching: CInt? = nil, if isWanted: ([UInt8]) -> Bool
    ) throws(Failure) -> [UInt8]? {
        try wait(for: POLLIN, until: deadline, watching: watching)
        let seen = recv(descriptor.raw, &peeked, peeked.count, CInt(MSG_PEEK | MSG_DONTWAIT))
        guard seen > 0, let newline = peeked[..<seen].firstIndex(of: ControlWire.newline) else { return nil }
        var line = Array(peeked[..<newline])
        guard isWanted(line) else { return nil }
        _ = takeDescriptors()  // closes those that nobody asked for
        line.removeAll(keepingCapacity: true)
        try take(newline + 1, into: &line)
        line.removeLast()
        return line
    }

    /// The tunnel that the daemon's `answer` speaks of.
    package func opened(_ parameters: ConnectParameters, _ answer: [UInt8]) throws(Failure) -> OpenedTunnel {
        var passed = takeDescriptors()
        guard parameters.handoff else { return OpenedTunnel(stream: descriptor, answer: answer) }
        guard passed.count == 1, let stream = passed.popLast() else {
            throw Failure(
                .protocolMismatch, "cannot take the tunnel over from eiced at \(path)",
                why: "its result carries \(passed.count) descriptors, and one was expected")
        }
        return OpenedTunnel(stream: stream, answer: answer)
    }

    /// Takes exactly `count` bytes that were seen, and what descriptors ride on them.
    private func take(_ count: Int, into line: inout [UInt8]) throws(Failure) {
        var left = count
        while left > 0 {
            var numbers = [CInt](repeating: -1, count: Int(CLINUX_MAX_DESCRIPTORS))
            var carried = 0
            var truncated: CInt = 0
            let got = clinux_receive_descriptors(
                descriptor.raw, &peeked, left, CInt(MSG_DONTWAIT), &numbers, &carried, &truncated)
            for number in numbers.prefix(max(0, carried)) where number >= 0 {
                received.append(FileDescriptor(takingOwnership: number))
            }
            guard truncated == 0 else {
                received.removeAll()
                throw Failure(
                    .internal, "lost a descriptor that eiced passed", why: "out of descriptors",
                    hint: "raise the limit: ulimit -n")
            }
            if got < 0 && errno == EINTR { continue }
            guard got > 0 else { throw unreachable("it closed the connection within a line") }
            line.append(contentsOf: peeked[..<got])
            left -= got
        }
    }

    /// The descriptors that came with the lines read so far; the caller owns them. Those that nobody asks for are
    /// closed with the next line.
    package func takeDescriptors() -> [FileDescriptor] {
        defer { received.removeAll() }
        return received
    }

    private func wait(
        for events: CInt, until deadline: TimeLimit?, watching: CInt? = nil
    ) throws(Failure) {
        while true {
            var polled = [pollfd(fd: descriptor.raw, events: Int16(events), revents: 0)]
            // No events asked for: a hang-up and an error are always told.
            if let watching { polled.append(pollfd(fd: watching, events: 0, revents: 0)) }
            let ready = poll(&polled, nfds_t(polled.count), deadline?.milliseconds ?? -1)
            if ready < 0 && errno == EINTR { continue }
            guard ready >= 0 else { throw unreachable(SystemError("poll").reason) }
            if polled[0].revents != 0 { return }
            if ready > 0 { throw Failure(.connectionLost, "stopped waiting for the tunnel", why: "nobody reads it") }
            throw unreachable("it does not answer")
        }
    }
}
