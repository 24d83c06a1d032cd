import CLinux
import ControlConnect
import ControlProtocol
import Descriptors
import Failures
import Glibc

/// `eicectl proxy`: a tunnel for ssh, either handed over (ProxyUseFdpass) or copied through.
public enum Proxy {
    /// - Parameter words: those after the word `proxy`.
    public static func run(_ words: [String]) -> Never {
        do throws(Failure) {
            if let rest = try serve(try ProxyRequest(words)) {
                throw CommandsProgram.become([ProxyContinuation.command] + rest.words + words)
            }
        } catch {
            Report.fail(error)
        }
        exit(0)
    }

    /// - Returns: what is left to do.
    private static func serve(_ request: ProxyRequest) throws(Failure) -> ProxyContinuation? {
        let session = try ConnectSession(path: request.path, client: Eicectl.name)
        var client: ProxyClient?
        let opened = try session.open(request.parameters, watching: STDOUT_FILENO) {
            // Takes a fraction of a millisecond, and the daemon has more than that to do.
            client = request.client
        }
        guard let tunnel = opened else {
            return .replies(session.awaited, session: try session.leave())
        }
        let outcome = try deliver(tunnel.stream, request.parameters, to: client ?? request.client)
        return outcome.map { .ended($0, answer: String(decoding: tunnel.answer, as: UTF8.self)) }
    }

    /// Passes the stream on, or copies until it is over.
    ///
    /// - Parameter client: who gets it.
    /// - Returns: how the tunnel ended, where that may need a word; nil where it is somebody else's now, or nobody reads it. The
    ///   stream is closed then.
    static func deliver(
        _ stream: FileDescriptor, _ parameters: ConnectParameters, to client: ProxyClient
    ) throws(Failure) -> TunnelOutcome? {
        switch client {
        case .takesDescriptor: try pass(stream, over: STDOUT_FILENO, parameters)
        case .reads: try copy(stream, parameters)
        case .unknown: try offer(stream, over: STDOUT_FILENO, parameters)
        }
    }

    /// The same for the client of this process.
    public static func deliver(_ stream: FileDescriptor, _ request: ProxyRequest) throws(Failure) -> TunnelOutcome? {
        try deliver(stream, request.parameters, to: request.client)
    }

    // MARK: Handing over

    private static func pass(
        _ stream: FileDescriptor, over socket: CInt, _ parameters: ConnectParameters
    ) throws(Failure) -> TunnelOutcome? {
        // ssh gets the tunnel when the banner is there, so that a dead target is our own sentence, and not ssh's
        // "Connection closed".
        if speaksFirst(parameters), !(try hasSpoken(stream, watching: socket, parameters)) {
            // Its other end first: the tunnel ends when both sides have.
            stream.close()
            return .silent
        }
        // Exactly one byte: ssh reads one (monitor_fdpass.c), and more would be lost or taken for something else.
        var byte: UInt8 = 0
        var number = stream.raw
        while clinux_send_descriptors(socket, &byte, 1, &number, 1) != 1 {
            let error = SystemError("pass the tunnel")
            switch error.code {
            case EINTR: continue
            case EAGAIN:
                var wait = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
                poll(&wait, 1, -1)
            case ENOTSOCK:
                throw Failure(
                    .usage, "cannot pass the tunnel over stdout", why: "it is no Unix socket",
                    hint: "--pass-fd is for ssh's ProxyUseFdpass; without it use --stdio")
            default: throw Failure(.connectionLost, "cannot pass the tunnel over stdout", why: error.reason)
            }
        }
        return nil
    }

    private static func speaksFirst(_ parameters: ConnectParameters) -> Bool {
        ServerPort.speaksFirst(parameters.remotePort)
    }

    /// Waits for the server's first byte.
    ///
    /// - Returns: false when the stream is over before it.
    private static func hasSpoken(
        _ stream: FileDescriptor, watching socket: CInt, _ parameters: ConnectParameters
    ) throws(Failure) -> Bool {
        while true {
            var polled = [
                pollfd(fd: stream.raw, events: Int16(POLLIN), revents: 0), pollfd(fd: socket, events: 0, revents: 0),
            ]
            guard poll(&polled, 2, -1) > 0 else { continue }
            guard polled[0].revents != 0 else {
                throw Failure(.connectionLost, "stopped waiting for \(parameters.target)", why: "nobody reads it")
            }
            var byte: UInt8 = 0
            let count = recv(stream.raw, &byte, 1, CInt(MSG_PEEK | MSG_DONTWAIT))
            if count > 0 { return true }
            if count < 0, errno == EAGAIN || errno == EINTR { continue }
            return false
        }
    }

    // MARK: Both

    private static func offer(
        _ stream: FileDescriptor, over socket: CInt, _ parameters: ConnectParameters
    ) throws(Failure) -> TunnelOutcome? {
        let end: TunnelOffer.End
        do throws(SystemError) {
            var offer = try TunnelOffer(stream, over: socket)
            end = offer.run()
        } catch {
            throw Failure(.internal, "cannot watch the tunnel", why: "\(error)")
        }
        switch end {
        case .closed: return nil
        case .reads: return try copy(stream, parameters, received: true)
        case .failed(let error): return .failed(error.code)
        case .ended(let received):
            stream.close()
            return received == 0 && speaksFirst(parameters) ? .silent : .ended
        }
    }

    // MARK: Copying

    /// - Parameter received: whether bytes of the stream were delivered before.
    private static func copy(
        _ stream: FileDescriptor, _ parameters: ConnectParameters, received isSpoken: Bool = false
    ) throws(Failure) -> TunnelOutcome? {
        var relay: StreamCopy
        do throws(SystemError) {
            relay = try StreamCopy(input: STDIN_FILENO, output: STDOUT_FILENO, stream: stream)
        } catch {
            throw Failure(.internal, "cannot copy to and from the tunnel", why: "\(error)")
        }
        switch relay.run() {
        case .outputGone: return nil
        case .streamEnded(let received): return received == 0 && !isSpoken && speaksFirst(parameters) ? .silent : .ended
        case .streamFailed(let error): return .failed(error.code)
        case .outputFailed(let error):
            if let failure = Report.unwritten(error) { throw failure }
            return nil
        }
    }
}
