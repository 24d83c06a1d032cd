import AWS
import ArgumentParser
import Basics
import ControlProtocol
import ControlServer
import Failures
import Glibc
import Logging
import ServiceManager
import SocketIO
import Tunnels

/// `eiced`: the command line of the daemon.
public struct EicedCommand: ParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "eiced",
        abstract: "Keeps private EC2 instances one ssh away, through EC2 Instance Connect Endpoints.",
        discussion: "Runs in the foreground; eicectl talks to it over its control socket.",
        version: EICEDVersion.current)

    @Option(
        help: ArgumentHelp("The configuration file.", valueName: "file"), completion: .file(extensions: ["toml"]))
    var config: String?

    @Option(help: ArgumentHelp("The control socket's path.", valueName: "path"), completion: .file())
    var socket: String?

    @Option(
        help: ArgumentHelp(
            "\(Logger.Level.allCases.dropLast().map(\.rawValue).joined(separator: ", ")) or critical.",
            valueName: "level"),
        completion: .list(Logger.Level.allCases.map(\.rawValue)))
    var logLevel: String?

    @Option(
        help: ArgumentHelp(
            "text or json, a line an entry on stderr. Without it the journal gets fields, and any other stderr text.",
            valueName: "format"))
    var logFormat: String?

    @Flag(help: "Take over from the daemon that runs: nobody is refused, and its open tunnels go on.")
    var replace = false

    @Flag(help: "Check the configuration, say what is wrong with it, and exit.")
    var check = false

    public init() {}

    /// The program: parses its command line and runs. Does not return.
    public static func start() {
        do {
            var command = try parseAsRoot(Array(ProcessStart.arguments.dropFirst()))
            try command.run()
        } catch {
            if exitCode(for: error) == .validationFailure {
                FailedStart.answer(Failure(.usage, message(for: error), hint: "systemctl --user cat eiced.service"))
            }
            guard exitCode(for: error).isSuccess else { exit(withError: error) }
            answer(fullMessage(for: error))
            Glibc.exit(0)
        }
    }

    /// Writes the answer to a question to stdout. Ends the process when it cannot be written.
    private static func answer(_ text: String) {
        // A reader that is gone has had what it wanted.
        signal(SIGPIPE, SIG_IGN)
        guard let error = TextOutput.write(text.hasSuffix("\n") ? text : text + "\n", to: STDOUT_FILENO),
            error.code != EPIPE
        else { return }
        let failure = Failure(.stateNotSaved, "cannot write to stdout", why: error.reason)
        report(failure)
        Glibc.exit(failure.kind.exitCode)
    }

    public func run() throws {
        // Before a credential is read: no core file has one, and no other process of this user may look for it (ptrace(2)).
        ProcessMemory.makePrivate()
        Heap.tune()
        // Before any thread exists, or that thread takes the signals.
        Signals.block()
        let program = SuccessorProgram.current()
        var inheritance: Inheritance?
        do throws(Failure) {
            // All of it, whatever comes next: a refusal behind which there are unread packets would be lost.
            if let channel = Inheritance.channelFromEnvironment() { inheritance = try .receive(from: channel) }
            try serve(program, inheritance)
        } catch {
            Self.report(error)
            if let inheritance {
                Inheritance.refuse(error, over: inheritance.channel)
            } else {
                FailedStart.answer(error)
            }
            throw ExitCode(error.kind.exitCode)
        }
    }

    /// - Parameters:
    ///   - program: what a later process is started from.
    ///   - passed: what the process passed on that started this one to take its place.
    private func serve(_ program: SuccessorProgram?, _ passed: Inheritance?) throws(Failure) {
        let file = config ?? Configuration.defaultPath() ?? "the configuration"
        let (configuration, warnings) = try SlowStart.announcing("reading \(file)") { () throws(Failure) in
            try ConfigurationLoading.load(path: config)
        }
        let level = try level(configuration.log.level)
        for warning in warnings { Self.say("warning: \(warning)", .warning) }
        if check {
            let service = InstalledSandbox(.current())
            for objection in service.objections(to: configuration, of: geteuid()) {
                Self.say("warning: as a service eiced refuses this: \(objection)", .warning)
            }
            Self.answer("the configuration is good")
            return
        }
        bootstrapLogging(level: level, format: try format())
        let logger = Logger(label: "eiced")
        ResourceLimits.raiseDescriptorLimit(logger: logger)
        let environment = Environment.current()
        let connectTo = try Self.connectTo(environment)
        var inheritance = passed
        if passed == nil, ProcessStart.variable("LISTEN_FDS") == nil {
            // A socket of the service manager's is reachable, or its unit is at fault.
            try UnreachableDaemon.wake(
                folder: Self.stateFolder(environment), path: try SocketPath.find(option: socket))
        }
        if replace, passed == nil { inheritance = try Replacing.ask(at: try SocketPath.find(option: socket)) }
        do throws(Failure) {
            try serve(
                configuration, logLevel: logLevel == nil ? nil : level, program, inheritance, environment, connectTo,
                logger)
        } catch {
            if let inheritance { Inheritance.refuse(error, over: inheritance.channel) }
            throw error
        }
    }

    private func serve(
        _ configuration: Configuration, logLevel: Logger.Level?, _ program: SuccessorProgram?,
        _ inheritance: Inheritance?, _ environment: Environment, _ connectTo: HostAndPort?, _ logger: Logger
    ) throws(Failure) {
        // The manager's sockets and its environment variables are taken before anything could inherit them.
        var service = try Self.serviceContext(inheritance)
        let listener = try Self.controlListener(option: socket, &service)
        // Not before it is sure that no other daemon serves this socket.
        let disk = ForwardsDisk(
            folderPath: Self.stateFolder(environment),
            lock: service.adopted.remove(named: HandoverName.forwardsLock).first, controlPath: listener.path)
        let saved = try SlowStart.announcing("reading \(disk.path)") { () throws(Failure) in disk.load(at: .now()) }
        let context = AWSContext(environment: environment, logger: logger)
        let check = StartCheck(
            awaited: { context.files.hanging ?? environment["AWS_CA_BUNDLE"] },
            check: { () throws(Failure) in try await TrustStore.check(context, logger) })
        let socket = listener.descriptor
        // The service manager's socket is taken by now, so its clients are answered here.
        func refused(_ failure: Failure) -> Failure {
            if inheritance == nil { FailedStart.answer(failure, at: socket) }
            return failure
        }
        let hasChecked: Bool
        do throws(Failure) { hasChecked = try check.wait() } catch { throw refused(error) }
        let settings = Daemon.Settings(
            configurationPath: config, configuration: configuration, logLevel: logLevel,
            environment: environment, connectTo: connectTo,
            saved: (disk, saved), service: service, inheritance: inheritance, program: program,
            startCheck: hasChecked ? nil : check)
        let loop: Loop
        do throws(SystemError) {
            loop = try Loop(label: "eiced.control")
        } catch {
            throw refused(Failure(.internal, "cannot start the control loop", why: error.description))
        }
        let handover = LoopTransfer(listener)
        loop.submit { loop in
            do throws(Failure) {
                let daemon = try Daemon(settings, socket: handover.take(), logger: logger, on: loop)
                Self.keepAlive(daemon, on: loop)
            } catch {
                Self.report(error)
                if let inheritance {
                    Inheritance.refuse(error, over: inheritance.channel)
                } else {
                    FailedStart.answer(error, at: socket)
                }
                Glibc.exit(error.kind.exitCode)
            }
        }
        // Not dispatchMain(): its thread waits with every signal unblocked, so that SIGTERM would end the process there and
        // then instead of reaching `Signals`.
        while true { pause() }
    }

    private static func stateFolder(_ environment: Environment) -> String? {
        StateFolder.path(stateHome: environment["XDG_STATE_HOME"], home: environment.homeDirectory)
    }

    /// The daemon lives until `exit`.
    private static func keepAlive(_ daemon: Daemon, on loop: isolated Loop) {
        _ = Unmanaged.passRetained(daemon)
    }

    private func level(_ configured: Logger.Level) throws(Failure) -> Logger.Level {
        guard let logLevel else { return configured }
        guard let level = Logger.Level(rawValue: logLevel) else {
            let known = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw Failure(.usage, "\"\(logLevel)\" is no log level", hint: "one of \(known)")
        }
        return level
    }

    private func format() throws(Failure) -> LogFormat? {
        guard let logFormat else { return nil }
        guard let format = LogFormat(rawValue: logFormat) else {
            throw Failure(
                .usage, "\"\(logFormat)\" is no log format",
                hint: "one of \(LogFormat.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return format
    }

    private static func connectTo(_ environment: Environment) throws(Failure) -> HostAndPort? {
        guard let text = environment["EICED_CONNECT_TO"] else { return nil }
        guard let address = HostAndPort(parsing: text) else {
            throw Failure(.configuration, "EICED_CONNECT_TO is \"\(text)\"", why: "expected HOST:PORT")
        }
        return address
    }

    private static func serviceContext(_ inheritance: Inheritance?) throws(Failure) -> ServiceContext {
        do throws(SystemError) {
            return try .take(inherited: inheritance?.descriptors)
        } catch {
            throw Failure(.configuration, "cannot take the service manager's sockets over", why: error.description)
        }
    }

    /// The socket unit's, the one that an earlier process of the service bound, or one that is bound now and kept.
    private static func controlListener(
        option: String?, _ service: inout ServiceContext
    ) throws(Failure) -> ControlListener {
        if let socket = service.adopted.remove(named: DescriptorStore.control).first { return try .adopting(socket) }
        let path = try SocketPath.find(option: option)
        if let kept = service.adopted.remove(named: DescriptorStore.ownControl).first {
            let lock = service.adopted.remove(named: HandoverName.controlLock).first
            if let listener = try ControlListener.resuming(kept, at: path, lock: lock) { return listener }
            service.notifier.removeStored(DescriptorStore.ownControl)
        }
        let listener = try ControlListener.binding(path)
        service.notifier.store(listener.descriptor, as: DescriptorStore.ownControl)
        return listener
    }

    private static func report(_ failure: Failure) {
        // A configuration may have several mistakes, each on a line of its own.
        for line in failure.sentence.unicodeScalars.split(separator: "\n") { say("error: \(String(line))", .error) }
        if let hint = failure.hint { say("hint: \(hint)", .error) }
    }

    private static func say(_ line: String, _ level: Logger.Level) { sayWithoutLogger("eiced: \(line)", level) }
}
