import ControlProtocol
import Failures
import Glibc

/// What `proxy` asks the daemon for, and where.
public struct ProxyRequest {
    public let parameters: ConnectParameters
    /// The control socket.
    public let path: String

    /// How the tunnel is delivered, where the command line says so.
    private let mode: ProxyArguments.Mode

    /// Who gets the tunnel. Found out anew with each call, which may take a fraction of a millisecond.
    var client: ProxyClient {
        switch mode {
        case .passDescriptor: .takesDescriptor
        case .copy: .reads
        case .automatic: .current()
        }
    }

    /// Of this process: its words, its environment and what its stdin and stdout are.
    ///
    /// - Parameter words: those after the word `proxy`.
    public init(_ words: [String]) throws(Failure) {
        let arguments = try ProxyArguments(words)
        mode = arguments.mode
        parameters = ConnectParameters(
            target: arguments.target, remotePort: arguments.port, handoff: Self.mayPass(arguments.mode),
            notices: true, options: try ShellVariables.ofProcess.completing(arguments.options))
        path = try SocketPath.find(option: arguments.socket)
    }

    /// Whether the daemon is asked for a descriptor, over which bytes can be copied as well.
    private static func mayPass(_ mode: ProxyArguments.Mode) -> Bool {
        switch mode {
        case .passDescriptor: true
        case .copy: false
        case .automatic: ProxyClient.isOneUnixStream(STDIN_FILENO, STDOUT_FILENO)
        }
    }
}
