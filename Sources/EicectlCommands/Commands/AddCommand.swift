import ArgumentParser
import ControlProtocol
import Descriptors
import EicectlProxy
import Failures

struct AddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Listen locally for a target's port.",
        discussion: """
            eicectl add i-0123456789abcdef0 22:2222          localhost:2222 for port 22
            eicectl add web-1 22                             a Name tag; a free port is chosen and printed
            eicectl add 10.0.1.5 22:2222 3389:13389          two forwards, both or none
            eicectl add web-1 3000-3005:4000                 six forwards: ports 4000 to 4005
            eicectl add web-1 22:/run/user/1000/web.sock     a Unix socket
            """)

    @Argument(help: "An instance id, a private address, a Name tag or a private DNS name.", completion: .targets)
    var target: String

    @Argument(
        help: ArgumentHelp(
            "The target's port, and a local port or the path of a Unix socket.", valueName: "remote[:local]"),
        completion: .remotePorts)
    var mappings: [String]

    @Option(help: ArgumentHelp("The forward's name; with several each is called NAME-REMOTE.", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("The address to listen on instead of localhost.", valueName: "address"))
    var bind: String?

    @Flag(help: "Allow an address that other hosts can reach.")
    var allowRemote = false

    @Option(
        help: ArgumentHelp("Open tunnels to keep ready, for a connection without a round trip.", valueName: "count"))
    var warm: Int?

    @Flag(help: "Forget it when the daemon ends.")
    var ephemeral = false

    @OptionGroup var tunnel: TunnelFlags
    @OptionGroup var common: CommonOptions

    func run() throws {
        let parameters = try parameters(environment: environmentVariable, folder: currentFolder())
        // Longer than a credential_process may take: the daemon's reason is to arrive.
        let result = try Session.call(
            Methods.ForwardAdd.self, parameters, common, timeout: .seconds(90), busy: "adding \(target)")
        Report.answer(common.json ? try Output.json(result) : Output.added(result.forwards))
        Report.warn(of: result.forwards)
        if !ephemeral, !common.json, let hint = ServiceHint.current().text { Report.note(hint) }
    }

    func parameters(
        environment: @escaping (String) -> String?, folder: @escaping @autoclosure () -> String?
    ) throws(Failure) -> ForwardAddParameters {
        try ForwardLimits.check(warm: warm, as: .usage)
        var parsed: [Mapping] = []
        for text in mappings { parsed += try MappingText.parseAll(text, folder: folder()) }
        return ForwardAddParameters(
            name: name, target: target, mappings: parsed, bind: bind, allowRemote: allowRemote,
            options: try ShellVariables(variable: environment, folder: folder).completing(try tunnel.options()),
            warm: warm, ephemeral: ephemeral)
    }
}
