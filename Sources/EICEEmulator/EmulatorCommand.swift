import ArgumentParser
import Failures
import Glibc
import Logging
import SocketIO

/// The command line of `eice-emulator`.
public struct EmulatorCommand: AsyncParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "eice-emulator",
        abstract: "A local EC2 Instance Connect Endpoint, for demos, tests and CI.",
        discussion: """
            It serves the openTunnel WebSocket over TLS, with signatures verified, twenty connections an endpoint and the
            service's errors, and the EC2 calls that finding an endpoint needs. Private addresses lead to ports of this host.

              eice-emulator --target 10.0.1.5:22=127.0.0.1:2022 --instance i-0abc1234def567890=10.0.1.5 > emulator.env &
              . ./emulator.env            # once it is there: the lines appear when everything listens
              eicectl add i-0abc1234def567890 22:2222

            On stdout it prints the environment that a shell needs to use it, on stderr what happens. It ends on SIGTERM or
            SIGINT. docs/emulator.md describes the inventory, the faults and the administration's requests.
            """)

    @Option(
        help: ArgumentHelp("Instances, endpoints and targets, as JSON.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var inventory: String?

    @Flag(help: "Print an inventory to begin with, and end.")
    var exampleInventory = false

    @Option(
        help: ArgumentHelp(
            "Where a port of a private address is on this host.", valueName: "address:port=host:port"))
    var target: [String] = []

    @Option(help: ArgumentHelp("An instance and its private address.", valueName: "id=address"))
    var instance: [String] = []

    @Option(help: ArgumentHelp("The region, where the inventory names none.", valueName: "region"))
    var region: String?

    @Option(
        help: ArgumentHelp("Concurrent connections of an endpoint, where the inventory says nothing.", valueName: "n"))
    var maxConnections = EmulatorOptions().maxConnections

    @Option(
        help: ArgumentHelp(
            "Longest maxTunnelDuration that the emulated IAM policy allows, such as 10m.", valueName: "duration"))
    var policyMaxDuration: String?

    @Option(
        help: ArgumentHelp(
            "Round trip to the endpoint, such as 50ms. TCP's handshake is charged to a connection's first bytes.",
            valueName: "duration"))
    var latency = "0ms"

    @Option(
        help: ArgumentHelp(
            "How far the service's clock is ahead of this machine's, such as 10m; -10m for behind.",
            valueName: "duration"))
    var clockOffset = "0s"

    @Option(
        help: ArgumentHelp("How long a connection may stay without a request.", valueName: "duration"))
    var requestTimeout = "60s"

    @Option(
        help: ArgumentHelp("A fault for the next connections: KIND, KIND:TIMES or a JSON object.", valueName: "fault"))
    var fault: [String] = []

    @Flag(help: "List the faults, and end.")
    var listFaults = false

    @Option(help: ArgumentHelp("Port of the endpoints (TLS).", valueName: "port"))
    var port: UInt16 = 0

    @Option(help: ArgumentHelp("Port of the EC2 API (HTTP).", valueName: "port"))
    var apiPort: UInt16 = 0

    @Option(help: ArgumentHelp("Port of the administration (HTTP).", valueName: "port"))
    var adminPort: UInt16 = 0

    @Option(help: ArgumentHelp("Most items on a page of the EC2 API.", valueName: "n"))
    var pageSize = 1_000

    @Option(help: ArgumentHelp("The access key to accept, instead of a random one.", valueName: "id"))
    var accessKeyId: String?

    @Option(help: ArgumentHelp("Its secret, instead of a random one. It protects nothing.", valueName: "secret"))
    var secretAccessKey: String?

    @Flag(help: "Use temporary credentials: requests must carry a session token.")
    var sessionToken = false

    @Option(
        help: ArgumentHelp("Where ca.pem is put. By default a temporary folder.", valueName: "folder"),
        completion: .directory)
    var directory: String?

    @Option(help: ArgumentHelp("Also write the environment to this file (mode 0600).", valueName: "file"))
    var envFile: String?

    @Flag(help: "Print one line of JSON on stdout instead of the shell's lines.")
    var printJson = false

    @Flag(help: "End when the process that started this one ends.")
    var exitWithParent = false

    @Flag(name: .shortAndLong, help: "Tell of every tunnel on stderr.")
    var verbose = false

    public init() {}

    /// The program: parses its command line and runs. Does not return.
    public static func start() async -> Never {
        do {
            // Every byte of the arguments, and without /proc too; `CommandLine` has neither.
            var command = try parseAsRoot(Array(ProcessStart.arguments.dropFirst()))
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            guard exitCode(for: error).isSuccess else { exit(withError: error) }
            do throws(Failure) {
                try StandardStream.answer(fullMessage(for: error) + "\n")
            } catch {
                StandardStream.write("eice-emulator: error: \(error.sentence)\n", to: STDERR_FILENO)
                Glibc.exit(error.kind.exitCode)
            }
        }
        Glibc.exit(0)
    }

    public mutating func run() async throws {
        do throws(Failure) {
            if exampleInventory {
                try StandardStream.answer(Inventory.example + "\n")
            } else if listFaults {
                try StandardStream.answer(
                    Fault.Kind.allCases.map { "\($0.rawValue): \($0.explanation)\n" }.joined())
            } else {
                try await serve()
            }
        } catch {
            var text = "eice-emulator: error: \(error.sentence)\n"
            if let hint = error.hint { text += "eice-emulator: hint: \(hint)\n" }
            StandardStream.write(text, to: STDERR_FILENO)
            throw ExitCode(error.kind.exitCode)
        }
    }

    private func serve() async throws(Failure) {
        let options = try options()
        // Before anything is printed: whoever starts this may stop it at once.
        let stop = StopSignals(withParent: exitWithParent)
        raiseDescriptorLimit()
        let emulator = try Emulator(options)
        do throws(Failure) {
            let environment = EmulatorEnvironment(emulator)
            if let envFile { try PrivateFile.write(environment.shell, to: envFile, mode: 0o600) }
            announce(emulator, options.log)
            try StandardStream.answer(printJson ? environment.json : environment.shell)
            await stop.wait()
        } catch {
            await emulator.stop()
            throw error
        }
        await emulator.stop()
    }

    /// The options, checked.
    func options() throws(Failure) -> EmulatorOptions {
        var options = EmulatorOptions()
        options.inventory = try combinedInventory()
        guard maxConnections >= 0 else {
            throw Failure(.usage, "cannot use --max-connections \(maxConnections)", why: "it must not be negative")
        }
        guard pageSize >= 1 else {
            throw Failure(.usage, "cannot use --page-size \(pageSize)", why: "it must be 1 or more")
        }
        options.tunnelPort = port
        options.apiPort = apiPort
        options.adminPort = adminPort
        options.maxConnections = maxConnections
        options.latency = try Self.duration(latency, "--latency")
        let isBehind = clockOffset.hasPrefix("-")
        let offset = try Self.duration(isBehind ? String(clockOffset.dropFirst()) : clockOffset, "--clock-offset")
        options.clockOffset = isBehind ? .zero - offset : offset
        options.requestTimeout = try Self.duration(requestTimeout, "--request-timeout")
        options.pageSize = pageSize
        for text in fault { options.faults.append(try Fault(parsing: text)) }
        options.accessKeyID = accessKeyId
        options.secretAccessKey = secretAccessKey
        options.usesSessionToken = sessionToken
        options.directory = directory
        var log = Logger(label: "eice-emulator", factory: { StreamLogHandler.standardError(label: $0) })
        log.logLevel = verbose ? .info : .notice
        options.log = log
        return options
    }

    private func combinedInventory() throws(Failure) -> Inventory {
        var result = Inventory()
        if let inventory { result = try Inventory.parse(try PrivateFile.read(inventory), name: inventory) }
        if let region { result.region = region }
        for text in target { try result.addTarget(text) }
        for text in instance { try result.addInstance(text) }
        result.addDefaultEndpoint()
        if let policyMaxDuration {
            let seconds = try Self.duration(policyMaxDuration, "--policy-max-duration").components.seconds
            for index in result.endpoints.indices where result.endpoints[index].policyMaxDuration == nil {
                result.endpoints[index].policyMaxDuration = Int(seconds)
            }
        }
        try result.check(name: inventory ?? "of the command line")
        return result
    }

    private static func duration(_ text: String, _ option: String) throws(Failure) -> Duration {
        guard let duration = DurationText.parse(text) else {
            throw Failure(.usage, "cannot use \(option) \(text)", why: "it must be \(DurationText.expectation)")
        }
        return duration
    }

    private func announce(_ emulator: Emulator, _ log: Logger) {
        let inventory = emulator.state.inventory
        for endpoint in inventory.endpoints {
            log.notice("endpoint \(endpoint.id) in \(endpoint.vpc), \(emulator.state.limit(of: endpoint)) connections")
        }
        for instance in inventory.instances {
            log.notice("instance \(instance.id) \(instance.addresses.joined(separator: " ")) \(instance.state)")
        }
        for target in inventory.targets.sorted(by: { $0.key < $1.key }) {
            log.notice("target \(target.key) is \(target.value)")
        }
    }

    /// Each tunnel takes two descriptors, and the soft limit is usually 1,024.
    private func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
