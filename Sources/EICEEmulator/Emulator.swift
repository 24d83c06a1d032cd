import Failures
import Glibc
import Logging
import OpenSSL
import SocketIO

/// What an emulator is to be like.
public struct EmulatorOptions: Sendable {
    public var inventory = Inventory()
    /// The ports; 0 lets the kernel choose. All are on 127.0.0.1.
    public var tunnelPort: UInt16 = 0
    public var apiPort: UInt16 = 0
    public var adminPort: UInt16 = 0
    /// Concurrent connections of an endpoint whose inventory entry does not say.
    public var maxConnections = ServiceLimits.connectionsPerEndpoint
    /// The emulated round trip between a client and the endpoints.
    public var latency = Duration.zero
    /// How far the service's clock is ahead of this machine's; behind where it is negative.
    public var clockOffset = Duration.zero
    /// How long a connection may stay without a request.
    public var requestTimeout = Duration.seconds(60)
    /// The most items on a page of the API.
    public var pageSize = 1_000
    public var faults: [Fault] = []
    public var accessKeyID: String?
    public var secretAccessKey: String?
    public var usesSessionToken = false
    /// Where the authority's certificate is put, as `ca.pem`. Nil makes a temporary folder.
    public var directory: String?
    public var log = Logger(label: "eice-emulator")

    public init() {}
}

/// A local EC2 Instance Connect Endpoint, with the AWS calls around it. It runs from `init` until `stop`.
public final class Emulator: Sendable {
    public let tunnelPort: UInt16
    public let apiPort: UInt16
    public let adminPort: UInt16
    /// The file that clients must trust.
    public let authorityFile: String
    let credentials: Credentials
    let state: EmulatorState

    private let groups: [TunnelGroup]
    private let servers: [HTTPServer]
    private let listeners: ListenerSet
    /// The folder that `stop` removes, if it was made here.
    private let ownDirectory: String?

    /// Builds everything, and listens at the end.
    public init(_ options: EmulatorOptions) throws(Failure) {
        try options.inventory.check(name: "of the options")
        var credentials = Credentials.generated(withSessionToken: options.usesSessionToken)
        credentials.accessKeyID = options.accessKeyID ?? credentials.accessKeyID
        credentials.secretAccessKey = options.secretAccessKey ?? credentials.secretAccessKey
        self.credentials = credentials
        let verifier = SignatureVerifier(credentials: credentials)
        let inventory = options.inventory
        let state = EmulatorState(
            inventory: inventory, faults: options.faults, defaultLimit: options.maxConnections,
            clockOffset: options.clockOffset.components.seconds)
        self.state = state
        let names = inventory.endpoints.flatMap { $0.allDNSNames(in: inventory.region(of: $0)) }
        let certificates = try Certificates(names: names, now: Int64(time(nil)))

        let folder = try Self.folder(options.directory)
        ownDirectory = options.directory == nil ? folder : nil
        authorityFile = "\(folder)/ca.pem"
        try PrivateFile.write(certificates.authority, to: authorityFile, mode: 0o644)

        do throws(SystemError) {
            var service = TunnelService(
                state: state, verifier: verifier, certificates: certificates, latency: options.latency, log: options.log
            )
            service.timeouts.request = options.requestTimeout
            var groups: [TunnelGroup] = []
            for number in 0..<Self.loopCount {
                groups.append(TunnelGroup(try Loop(label: "tunnels-\(number)"), service))
            }
            self.groups = groups
            let relays = groups
            let control = try Loop(label: "control")
            let pageSize = options.pageSize
            let api = HTTPServer(control) { request in
                state.count { $0.apiRequests += 1 }
                var service = EC2Service(inventory: state.inventory, verifier: verifier)
                service.pageSize = pageSize
                return service.answer(request, now: state.now, requestID: newRequestID())
            }
            let administration = Administration(state: state) { code, reason in
                for group in relays {
                    group.loop.submit { group.closeAll(code: code, reason: reason, on: $0) }
                }
            }
            let admin = HTTPServer(control) { administration.answer($0) }
            servers = [api, admin]

            listeners = ListenerSet(control, options.log)
            let turn = Turn(relays)
            tunnelPort = try listeners.listen(on: options.tunnelPort) { descriptor, _ in
                let group = turn.next()
                group.loop.submit { group.adopt(descriptor, on: $0) }
            }
            apiPort = try listeners.listen(on: options.apiPort) { api.adopt($0, on: $1) }
            adminPort = try listeners.listen(on: options.adminPort) { admin.adopt($0, on: $1) }
        } catch {
            throw Failure(.cannotListen, "cannot start the emulator", why: "\(error)")
        }
    }

    /// Closes everything. Returns when the descriptors are closed.
    public func stop() async {
        await listeners.stop()
        for group in groups { await group.loop.run { group.stop(on: $0) } }
        for server in servers { await server.loop.run { server.stop(on: $0) } }
        if let ownDirectory {
            unlink(authorityFile)
            rmdir(ownDirectory)
        }
    }

    private static var loopCount: Int { min(4, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    private static func folder(_ wanted: String?) throws(Failure) -> String {
        if let wanted {
            guard mkdir(wanted, 0o700) == 0 || errno == EEXIST else {
                throw Failure(
                    .stateNotSaved, "cannot use the directory \(wanted)", why: SystemError("make a directory").reason)
            }
            return wanted
        }
        let parent = ProcessStart.variable("TMPDIR") ?? "/tmp"
        guard let folder = mkdtemp(in: parent, name: "eice-emulator-") else {
            throw Failure(
                .stateNotSaved, "cannot make a folder in \(parent)", why: SystemError("make a directory").reason,
                hint: "--directory names another place")
        }
        return folder
    }
}

/// Deals connections out to the loops in turn. Used by the control loop alone, on whose queue each call is made.
private final class Turn: @unchecked Sendable {
    private let groups: [TunnelGroup]
    private var number = 0

    init(_ groups: [TunnelGroup]) { self.groups = groups }

    func next() -> TunnelGroup {
        number = (number + 1) % groups.count
        return groups[number]
    }
}

extension Loop {
    /// Runs `body` on the loop and waits for it.
    func run(_ body: @Sendable (isolated Loop) -> Void) { body(self) }
}
