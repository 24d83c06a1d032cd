import ArgumentParser
import ControlClient
import ControlProtocol
import EicectlProxy
import Failures

/// What every command takes.
struct CommonOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The control socket.", valueName: "path"), completion: .file())
    var socket: String?

    @Flag(help: "Print JSON.")
    var json = false
}

/// One call, as a command makes it: connects, says hello, shows that it takes a while.
enum Session {
    /// - Parameter timeout: how long the daemon may take; longer than the default where it has to ask AWS.
    static func call<Method: ControlMethod>(
        _ method: Method.Type, _ parameters: Method.Parameters, _ common: CommonOptions,
        timeout: Duration = .seconds(10), busy: String = "waiting for eiced"
    ) throws(Failure) -> Method.Value {
        let path = try SocketPath.find(option: common.socket)
        let spinner = Spinner(busy)
        defer { spinner.stop() }
        let client = try ControlClient(path: path, client: Eicectl.name)
        return try client.call(method, parameters, timeout: timeout)
    }
}
