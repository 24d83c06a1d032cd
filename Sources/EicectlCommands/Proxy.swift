import CLinux
import ControlClient
import ControlProtocol
import Failures
import Glibc
import SocketIO

/// `eicectl proxy`: a tunnel for ssh, either handed over (ProxyUseFdpass) or copied through.
enum Proxy {
    static func run(_ words: [String]) -> Never {
        do throws(Failure) {
            try serve(try ProxyArguments(words))
        } catch {
            Report.fail(error)
        }
        exit(0)
    }

    private static func serve(_ arguments: ProxyArguments) throws(Failure) {
        let parameters = ConnectParameters(
            target: arguments.target, remotePort: arguments.port, handoff: passesDescriptor(arguments.mode),
            notices: true, options: try arguments.texts.options(environment: environmentVariable))
        let path = try SocketPath.find(option: arguments.socket)
        let client = try ControlClient(path: path, client: Eicectl.name)
        let tunnel = try client.connect(parameters, watching: STDOUT_FILENO, onNotice: Report.notice)
        let end = TunnelEnd(of: tunnel, to: parameters, path: path)
        if parameters.handoff {
            try pass(tunnel.stream, over: STDOUT_FILENO, parameters, end)
        } else {
            try copy(tunnel.stream, parameters, end)
        }
    }

    // MARK: How stdin and stdout look

    /// ssh with ProxyUseFdpass gives one and the same Unix stream socket as both; without it, two pipes.
    static func passesDescriptor(_ mode: ProxyArguments.Mode) -> Bool {
        switch mode {
        case .passDescriptor: true
        case .copy: false
        case .automatic: isOneUnixStream(STDIN_FILENO, STDOUT_FILENO)
        }
    }

    static func isOneUnixStream(_ first: CInt, _ second: CInt) -> Bool {
        var one = stat()
        var other = stat()
        guard fstat(first, &one) == 0, fstat(second, &other) == 0, one.st_mode & S_IFMT == S_IFSOCK,
            one.st_dev == other.st_dev, one.st_ino == other.st_ino
        else { return false }
        return option(SO_DOMAIN, of: first) == AF_UNIX && option(SO_TYPE, of: first) == CInt(SOCK_STREAM.rawValue)
    }

    private static func option(_ name: CInt, of descriptor: CInt) -> CInt? {
        var value: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }

    // MARK: Handing over

    private static func pass(
        _ stream: FileDescriptor, over socket: CInt, _ parameters: ConnectParameters, _ end: TunnelEnd
    ) throws(Failure) {
        // An SSH server speaks first (RFC 4253, section 4.2): ssh gets the tunnel when the banner is there, so that
        // a dead target is our own sentence, and not ssh's "Connection closed".
        if parameters.remotePort == 22 { try awaitBanner(stream, watching: socket, parameters, end) }
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
    }

    private static func awaitBanner(
        _ stream: FileDescriptor, watching socket: CInt, _ parameters: ConnectParameters, _ end: TunnelEnd
    ) throws(Failure) {
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
            if count > 0 { return }
            if count < 0, errno == EAGAIN || errno == EINTR { continue }
            // Its other end first: the tunnel ends when both sides have.
            stream.close()
            try end.check()
            throw TunnelEnd.closedEarly(parameters)
        }
    }

    // MARK: Copying

    private static func copy(
        _ stream: FileDescriptor, _ parameters: ConnectParameters, _ end: TunnelEnd
    ) throws(Failure) {
        var relay: StreamCopy
        do throws(SystemError) {
            relay = try StreamCopy(input: STDIN_FILENO, output: STDOUT_FILENO, stream: stream)
        } catch {
            throw Failure(.internal, "cannot copy to and from the tunnel", why: "\(error)")
        }
        switch relay.run() {
        case .outputGone: break
        case .streamEnded(let received):
            try end.check()
            if received == 0 && parameters.remotePort == 22 { throw TunnelEnd.closedEarly(parameters) }
        case .streamFailed(let error):
            try end.check()
            throw Failure(.connectionLost, "lost the tunnel to \(parameters.target)", why: error.reason)
        }
    }
}
