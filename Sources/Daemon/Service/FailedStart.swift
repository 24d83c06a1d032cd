import CLinux
import ControlCodec
import ControlProtocol
import Failures
import Glibc
import ServiceManager
import SocketIO

/// What a daemon that cannot start still does: it tells whoever waits at its control socket why.
///
/// With a socket unit a client waits before there is a daemon, and the service manager starts it as often as somebody waits. A
/// client without an answer would wait for nothing, and the starts would follow one another without end.
enum FailedStart {
    /// How long a client may take to say something, and how long all of this may take.
    private static let patience = Duration.milliseconds(500)
    private static let limit = Duration.seconds(2)

    /// Takes the control socket that the service manager passed, if nobody took it yet, and answers there. Blocks.
    static func answer(_ failure: Failure) {
        guard var adopted = try? AdoptedSockets.take(),
            let socket = adopted.remove(named: DescriptorStore.control).first
        else { return }
        answer(failure, at: socket)
    }

    /// Answers everybody who has connected by now. Blocks.
    static func answer(_ failure: Failure, at socket: FileDescriptor) {
        let refusal = Failure(
            failure.kind, "eiced cannot start", why: failure.sentence,
            hint: failure.hint ?? "correct it, then try again")
        guard (try? socket.setNonBlocking()) != nil,
            let line = try? ControlWire.line(ErrorEnvelope(id: .null, error: ErrorObject(refusal)))
        else { return }
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            let raw = clinux_accept(socket.raw)
            guard raw >= 0 else {
                if errno == EINTR { continue }
                return
            }
            let client = FileDescriptor(takingOwnership: raw)
            // Nobody else learns anything, as ever.
            guard let peer = try? PeerCredentials(of: client), peer.uid == geteuid() else { continue }
            hear(client)
            _ = send(client.raw, line, line.count, CInt(MSG_NOSIGNAL))
        }
    }

    /// A socket that is closed with unread bytes in it is a reset to its peer, which may still be writing.
    private static func hear(_ client: FileDescriptor) {
        var waiting = pollfd(fd: client.raw, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, CInt(patience / .milliseconds(1))) > 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        _ = recv(client.raw, &buffer, buffer.count, CInt(MSG_DONTWAIT))
    }
}
