import ControlProtocol
import Failures

/// What `proxy` asks the daemon for, and where.
public struct ProxyRequest {
    public let parameters: ConnectParameters
    /// The control socket.
    public let path: String

    /// Of this process: its words, its environment and what its stdin and stdout are.
    ///
    /// - Parameter words: those after the word `proxy`.
    public init(_ words: [String]) throws(Failure) {
        let arguments = try ProxyArguments(words)
        parameters = ConnectParameters(
            target: arguments.target, remotePort: arguments.port, handoff: Proxy.passesDescriptor(arguments.mode),
            notices: true, options: try arguments.texts.options(environment: environmentVariable))
        path = try SocketPath.find(option: arguments.socket)
    }
}
