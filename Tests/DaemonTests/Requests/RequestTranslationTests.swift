import AWS
import ControlProtocol
import Failures
import InstanceConnect
import TestSupport
import Testing
import Tunnels

@testable import Daemon

@Suite struct RequestTranslationTests {
    private func translation(
        _ change: (inout Configuration) -> Void = { _ in }, environment: [String: String] = [:]
    ) -> RequestTranslation {
        var configuration = Configuration()
        change(&configuration)
        return RequestTranslation(configuration: configuration, environment: Environment(environment))
    }

    private func add(_ ports: [UInt16], name: String? = nil, options: TunnelOptions = .init()) -> ForwardAddParameters {
        ForwardAddParameters(
            name: name, target: "i-0123456789abcdef0", mappings: ports.map { Mapping(remotePort: $0) }, options: options
        )
    }

    @Test("each text of a forward has a bound")
    func longTexts() throws {
        let long = String(repeating: "x", count: 100_000)
        let options: [TunnelOptions] = [
            .init(profile: long), .init(region: long), .init(endpoint: "eice-\(long)"),
            .init(endpoint: "eice-1", endpointDNSName: long),
            .init(environment: CallerEnvironment(profile: long)), .init(environment: CallerEnvironment(region: long)),
            .init(environment: CallerEnvironment(defaultRegion: long)),
        ]
        var parameters = options.map { add([22], options: $0) }
        parameters += [add([22], name: nil), add([22])]
        parameters[parameters.count - 2].target = long
        parameters[parameters.count - 1].bind = long
        parameters[parameters.count - 1].allowRemote = true
        for parameters in parameters {
            let failure = #expect(throws: Failure.self) { try translation().forwards(parameters) }
            #expect((failure?.description.utf8.count ?? 0) < 300, "nor does the message repeat it")
        }
        let old = try #require(try translation().forwards(add([22])).first)
        for options in options {
            var change = ForwardSetParameters(forward: "a", options: options)
            // A `set` takes nothing from the caller's environment.
            guard options.environment == nil else { continue }
            change.options = options
            #expect(throws: Failure.self) { try translation().changed(old, change) }
        }
        #expect(throws: Never.self) {
            try translation().forwards(add([22], options: .init(profile: String(repeating: "x", count: 512))))
        }
    }

    @Test func aNameThatIsMadeUpHasThePort() throws {
        let names = try translation().forwards(add([22, 3389])).map(\.name)
        #expect(names == ["i-0123456789abcdef0-22", "i-0123456789abcdef0-3389"])
        #expect(try translation().forwards(add([22])).map(\.name) == ["i-0123456789abcdef0-22"])
    }

    @Test func aGivenNameIsTakenForOneForwardAndBeginsThatOfSeveral() throws {
        #expect(try translation().forwards(add([22], name: "web")).map(\.name) == ["web"])
        #expect(try translation().forwards(add([22, 3389], name: "web")).map(\.name) == ["web-22", "web-3389"])
    }

    @Test func aMadeUpNameIsAlwaysValid() throws {
        let parameters = ForwardAddParameters(
            target: String(repeating: "böse name ", count: 20), mappings: [Mapping(remotePort: 3389)])
        let name = try #require(try translation().forwards(parameters).first?.name)
        #expect(ForwardSpecification.isValidName(name))
    }

    @Test func optionsCountForMoreThanTheCallersEnvironmentAndThatForMoreThanTheConfiguration() throws {
        let configured = translation {
            $0.defaults.tunnel.profile = "configured"
            $0.defaults.tunnel.region = "eu-west-1"
        }
        let caller = CallerEnvironment(profile: "caller", region: "eu-west-2", defaultRegion: "eu-west-3")
        let plain = try #require(try configured.forwards(add([22])).first)
        #expect(plain.route.profile == "configured")
        #expect(plain.route.region == "eu-west-1")
        let called = try #require(try configured.forwards(add([22], options: .init(environment: caller))).first)
        #expect(called.route.profile == "caller")
        #expect(called.route.region == "eu-west-2")
        let named = try #require(
            try configured.forwards(
                add([22], options: .init(profile: "named", region: "us-east-1", environment: caller))
            ).first)
        #expect(named.route.profile == "named")
        #expect(named.route.region == "us-east-1")
    }

    @Test(arguments: ["", "two words", String(repeating: "a", count: 254)])
    func whatCannotBeAnEndpointsNameIsRefused(name: String) {
        let failure = #expect(throws: Failure.self) {
            try translation().forwards(add([22], options: TunnelOptions(endpointDNSName: name)))
        }
        #expect(failure?.kind == .invalidRequest && failure?.what.hasPrefix("invalid endpoint-dns ") == true)
    }

    @Test func keysOfTheCallerThatTheDaemonDoesNotHaveAreRefused() throws {
        let options = TunnelOptions(environment: CallerEnvironment(accessKeyID: "AKIAIOSFODNN7EXAMPLE"))
        #expect(throws: FailureOfKind(.foreignCredentials)) {
            try FailureOfKind.of { try translation().forwards(add([22], options: options)) }
        }
        let same = translation(environment: ["AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"])
        #expect(try same.forwards(add([22], options: options)).count == 1)
    }

    @Test func besideKeysTheCallersProfileDoesNotCount() throws {
        let caller = CallerEnvironment(profile: "other", accessKeyID: "AKIAIOSFODNN7EXAMPLE")
        let same = translation(environment: ["AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"])
        let forward = try #require(try same.forwards(add([22], options: .init(environment: caller))).first)
        #expect(forward.route.profile == nil)
    }

    @Test(arguments: [(0, -1), (-1, -2), (3_601, 86_401)])
    func durationsOutOfRangeAreRefused(longest: Int, quiet: Int) throws {
        for options in [TunnelOptions(maxDuration: longest), TunnelOptions(idleTimeout: quiet)] {
            #expect(throws: FailureOfKind(.invalidRequest)) {
                try FailureOfKind.of { try translation().forwards(add([22], options: options)) }
            }
        }
    }

    @Test func anAddressThatOthersCanReachNeedsPermission() throws {
        var parameters = add([22])
        parameters.bind = "0.0.0.0"
        #expect(throws: FailureOfKind(.usage)) { try FailureOfKind.of { try translation().forwards(parameters) } }
        parameters.allowRemote = true
        #expect(try translation().forwards(parameters).first?.allowsRemoteClients == true)
        parameters.bind = "127.0.0.5"
        #expect(try translation().forwards(parameters).first?.allowsRemoteClients == false)
    }

    @Test func onlyPort22WaitsForTheTarget() throws {
        let ssh = try translation().tunnel(ConnectParameters(target: "10.0.0.1", remotePort: 22), peer: "test")
        let rdp = try translation().tunnel(ConnectParameters(target: "10.0.0.1", remotePort: 3389), peer: "test")
        #expect(ssh.waitsForTarget)
        #expect(!rdp.waitsForTarget)
    }

    @Test func aProfileThatIsNamedBringsItsSettings() throws {
        let configured = translation {
            $0.defaults.tunnel.region = "eu-west-1"
            $0.profiles["prod"] = TunnelOptions()
            $0.profiles["prod"]?.region = "us-east-1"
            $0.profiles["prod"]?.endpoint = "eice-1"
            $0.profiles["prod"]?.endpointDNSName = "eice-1.example.com"
            $0.profiles["prod"]?.maxDuration = 900
        }
        let callers: [TunnelOptions] = [
            .init(profile: "prod"), .init(environment: CallerEnvironment(profile: "prod")),
        ]
        for options in callers {
            let tunnel = try configured.tunnel(
                ConnectParameters(target: "10.0.0.1", remotePort: 22, options: options), peer: "test")
            #expect(tunnel.route.region == "us-east-1")
            #expect(tunnel.route.endpointID == "eice-1" && tunnel.route.endpointDNSName == "eice-1.example.com")
            #expect(tunnel.maxDuration == .seconds(900))
        }
        let own = try configured.tunnel(
            ConnectParameters(
                target: "10.0.0.1", remotePort: 22,
                options: .init(profile: "prod", region: "eu-west-2", endpoint: "eice-2", maxDuration: 60)),
            peer: "test")
        #expect(own.route.region == "eu-west-2")
        #expect(own.route.endpointID == "eice-2" && own.route.endpointDNSName == nil)
        #expect(own.maxDuration == .seconds(60))
        let other = try configured.tunnel(ConnectParameters(target: "10.0.0.1", remotePort: 22), peer: "test")
        #expect(other.route.region == "eu-west-1" && other.route.endpointID == nil)

        // `set --unset` goes back to what the profile has.
        var old = try #require(try configured.forwards(add([22], options: .init(profile: "prod", region: "r"))).first)
        old.maxDuration = .seconds(60)
        let back = try configured.changed(
            old, ForwardSetParameters(forward: old.name, unset: [.region, .maxDuration, .endpoint]))
        #expect(back.route.region == "us-east-1" && back.route.endpointID == "eice-1")
        #expect(back.maxDuration == .seconds(900))
    }

    @Test func aRequestWithoutAMappingIsRefused() throws {
        #expect(throws: FailureOfKind(.invalidRequest)) { try FailureOfKind.of { try translation().forwards(add([])) } }
    }
}

@Suite struct ReloadPlanTests {
    private let translation = RequestTranslation(configuration: Configuration(), environment: Environment([:]))

    private func configuration(_ forwards: [String: UInt16], change: (inout Configuration.Forward) -> Void = { _ in })
        -> Configuration
    {
        var configuration = Configuration()
        for (name, port) in forwards {
            var forward = Configuration.Forward()
            forward.target = "i-0123456789abcdef0"
            forward.remotePort = 22
            forward.local = .port(port)
            change(&forward)
            configuration.forwards[name] = forward
        }
        return configuration
    }

    private func specifications(_ configuration: Configuration) throws -> [ForwardSpecification] {
        try configuration.forwards.map { try translation.forward(named: $0.key, $0.value) }
    }

    @Test func onlyWhatChangedIsTouched() throws {
        let present = try specifications(configuration(["kept": 2001, "gone": 2002]))
        let plan = try ReloadPlan(
            present: present, fresh: configuration(["kept": 2001, "new": 2003]), translation: translation)
        #expect(plan.added.map(\.name) == ["new"])
        #expect(plan.removed == ["gone"])
        #expect(plan.changed.isEmpty)
    }

    @Test func aChangeOfEverythingButThePlaceKeepsTheListener() throws {
        let present = try specifications(configuration(["web": 2001]))
        let fresh = configuration(["web": 2001]) { $0.tunnel.idleTimeout = 60 }
        let plan = try ReloadPlan(present: present, fresh: fresh, translation: translation)
        #expect(plan.changed.map(\.name) == ["web"])
        #expect(plan.added.isEmpty && plan.removed.isEmpty)
    }

    @Test func aForwardMayMoveUnderItsName() throws {
        let present = try specifications(configuration(["web": 2001, "db": 2002]))
        let plan = try ReloadPlan(
            present: present, fresh: configuration(["web": 2002, "db": 2001]), translation: translation)
        #expect(plan.changed.map(\.name) == ["db", "web"])
        #expect(plan.added.isEmpty && plan.removed.isEmpty)
    }
}

/// A failure reduced to its kind, for tests that leave the wording to others.
struct FailureOfKind: Error, Equatable {
    let kind: Failure.Kind
    init(_ kind: Failure.Kind) { self.kind = kind }

    static func of<R>(_ body: () throws -> R) throws -> R {
        do { return try body() } catch let failure as Failure { throw FailureOfKind(failure.kind) }
    }
}
