import ArgumentParser
import ControlProtocol
import Descriptors
import EicectlProxy
import Failures

struct SetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set",
        abstract: "Change a forward in place. Its open tunnels go on.",
        discussion: """
            eicectl set web --name bastion           another name
            eicectl set web --local 2200             another local port; no connection is refused meanwhile
            eicectl set web --profile prod           another account, from the next connection on
            eicectl set web --unset idle-timeout     as if add had not named it
            """)

    @Argument(help: "The forward's name, as ls shows it.", completion: .forwards)
    var forward: String

    @Option(help: ArgumentHelp("Its new name.", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("Another target.", valueName: "target"), completion: .targets)
    var target: String?

    @Option(help: ArgumentHelp("Another port of the target.", valueName: "port"), completion: .remotePorts)
    var remotePort: String?

    @Option(
        help: ArgumentHelp(
            "Another local port (0: any free one), or the path of a Unix socket.", valueName: "port|path"),
        completion: .file())
    var local: String?

    @Option(help: ArgumentHelp("The address to listen on instead of localhost.", valueName: "address"))
    var bind: String?

    @Flag(help: "Allow an address that other hosts can reach.")
    var allowRemote = false

    @Option(help: ArgumentHelp("Open tunnels to keep ready.", valueName: "count"))
    var warm: Int?

    @Flag(
        inversion: .prefixedNo,
        help: "Forget it when the daemon ends, or (--no-ephemeral) keep it.")
    var ephemeral: Bool?

    @Option(
        help: ArgumentHelp(
            "Go back to the default of \(SetCommand.settings).", valueName: "setting"),
        completion: .list(ForwardSetParameters.Setting.allCases.map(\.option)))
    var unset: [String] = []

    @OptionGroup var tunnel: TunnelFlags
    @OptionGroup var common: CommonOptions

    func run() throws {
        let parameters = try parameters(folder: currentFolder())
        let result = try Session.call(
            Methods.ForwardSet.self, parameters, common, timeout: .seconds(90), busy: "changing \(forward)")
        Report.answer(common.json ? try Output.json(result) : Output.added(result.forwards))
        Report.warn(of: result.forwards)
    }

    /// The shell's own AWS_PROFILE and the like do not count here: they would change the account of a forward along with
    /// its name. Only a profile that is named is read as this shell reads it, from its AWS_CONFIG_FILE for example.
    func parameters(
        environment: @escaping (String) -> String? = environmentVariable, folder: @escaping @autoclosure () -> String?
    ) throws(Failure) -> ForwardSetParameters {
        var options = try tunnel.options()
        if options.profile != nil {
            let shell = try ShellVariables(variable: environment, folder: folder).caller()
            options.environment = CallerEnvironment(variables: shell.variables ?? [:], files: shell.files)
        }
        try ForwardLimits.check(warm: warm, as: .usage)
        var settings: [ForwardSetParameters.Setting] = []
        for text in unset { settings.append(try Self.setting(text)) }
        var parameters = ForwardSetParameters(
            forward: forward, name: name, target: target, bind: bind,
            allowRemote: allowRemote ? true : nil, warm: warm, ephemeral: ephemeral, options: options, unset: settings)
        if let remotePort { parameters.remotePort = try Self.remote(remotePort) }
        if let local { parameters.local = try MappingText.local(local, in: "--local \(local)", folder: folder()) }
        guard !parameters.isEmpty else {
            throw Failure(.usage, "nothing to change in \(forward)", hint: "eicectl help set")
        }
        return parameters
    }

    private static func remote(_ text: String) throws(Failure) -> UInt16 {
        guard let port = PortText.parse(text), port > 0 else {
            throw Failure(.usage, "--remote-port \(text)", why: "expected 1 to 65535")
        }
        return port
    }

    /// The settings that have a default, as a sentence lists them.
    private static let settings: String = {
        let options = ForwardSetParameters.Setting.allCases.map(\.option)
        return options.dropLast().joined(separator: ", ") + " or " + (options.last ?? "")
    }()

    private static func setting(_ text: String) throws(Failure) -> ForwardSetParameters.Setting {
        guard let setting = ForwardSetParameters.Setting.allCases.first(where: { $0.option == text }) else {
            throw Failure(.usage, "--unset \(text)", why: "expected \(settings)")
        }
        return setting
    }
}
