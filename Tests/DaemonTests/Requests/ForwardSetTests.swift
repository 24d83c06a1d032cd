import AWS
import ControlProtocol
import Failures
import TestSupport
import Testing
import Tunnels

@testable import Daemon

@Suite struct ForwardSetTests {
    private func changed(
        _ old: ForwardSpecification? = nil, _ change: (inout ForwardSetParameters) -> Void
    ) throws -> ForwardSpecification {
        var configuration = Configuration()
        configuration.defaults.tunnel.profile = "usual"
        configuration.defaults.tunnel.maxDuration = 1_800
        var parameters = ForwardSetParameters(forward: "web")
        change(&parameters)
        return try RequestTranslation(configuration: configuration, environment: Environment([:]))
            .changed(try old ?? .sample("web"), parameters)
    }

    private func refusal(_ change: (inout ForwardSetParameters) -> Void) -> Failure.Kind? {
        do {
            _ = try changed(nil, change)
            return nil
        } catch {
            return (error as? Failure)?.kind
        }
    }

    @Test func whatIsNotNamedStays() throws {
        #expect(try changed { _ in } == .sample("web"))
        #expect(try changed(.sample("web", bare: true)) { _ in } == .sample("web", bare: true))
        // Nor does the caller's shell change it.
        #expect(
            try changed { $0.options.environment = CallerEnvironment(profile: "other", region: "other") }
                == .sample("web"))
    }

    @Test func eachSettingCanBeChanged() throws {
        var expected = try ForwardSpecification.sample("bastion", bare: true)
        expected.route.remotePort = 23
        expected.route.environment = try ForwardSpecification.sample("web").route.environment
        expected.route.profile = "p"
        expected.route.region = "r"
        expected.route.endpointID = "eice-1"
        expected.route.endpointDNSName = "e.example"
        expected.bindAddress = "127.0.0.2"
        expected.local = .port(0)
        expected.isEphemeral = true
        expected.maxDuration = .seconds(7)
        expected.idleTimeout = .seconds(8)
        expected.priority = .normal
        expected.warm = 1
        let new = try changed {
            $0.name = "bastion"
            $0.target = "i-0123456789abcdef0"
            $0.remotePort = 23
            $0.local = .port(0)
            $0.bind = "127.0.0.2"
            $0.ephemeral = true
            $0.warm = 1
            $0.options = TunnelOptions(
                profile: "p", region: "r", endpoint: "eice-1", endpointDNSName: "e.example", maxDuration: 7,
                idleTimeout: 8, priority: .normal)
        }
        #expect(new == expected)
    }

    @Test func whatIsUnsetIsAsTheConfigurationHasIt() throws {
        let new = try changed { $0.unset = ForwardSetParameters.Setting.allCases }
        #expect(new.route.profile == "usual" && new.route.region == nil)
        #expect(new.route.endpointID == nil && new.route.endpointDNSName == nil)
        #expect(new.bindAddress == nil && !new.allowsRemoteClients)
        #expect(new.maxDuration == .seconds(1_800) && new.idleTimeout == nil)
    }

    @Test func anotherEndpointForgetsTheNameOfTheOld() throws {
        let new = try changed { $0.options.endpoint = "eice-2" }
        #expect(new.route.endpointID == "eice-2" && new.route.endpointDNSName == nil)
        #expect(try changed { $0.options.endpointDNSName = "y" }.route.endpointID == "eice-0123456789abcdef0")
    }

    @Test func whatCannotBeIsRefused() {
        #expect(refusal { $0.options.maxDuration = 3_601 } == .invalidRequest)
        #expect(refusal { $0.options.idleTimeout = -1 } == .invalidRequest)
        #expect(refusal { $0.remotePort = 0 } == .invalidRequest)
        #expect(refusal { $0.warm = 6 } == .invalidRequest)
        #expect(refusal { $0.target = "eice-1" } == .usage)
        #expect(
            refusal {
                $0.options.profile = "x"
                $0.unset = [.profile]
            } == .invalidRequest)
        // The permission is asked for anew where it is taken back.
        #expect(refusal { $0.allowRemote = false } == .usage)
    }

    @Test func aNameOfAnEndpointNeedsItsID() throws {
        #expect(throws: FailureOfKind(.invalidRequest)) {
            try FailureOfKind.of {
                try changed(.sample("web", bare: true)) { $0.options.endpointDNSName = "x.example" }
            }
        }
    }

    @Test func theSameRequestIsFulfilledByWhatItAddedBefore() throws {
        let there = try ForwardSpecification.sample("web", bare: true)
        var wanted = there
        #expect(there.fulfils(wanted))
        wanted.local = .port(0)
        #expect(there.fulfils(wanted))
        wanted.local = .port(2223)
        #expect(!there.fulfils(wanted))
        wanted = there
        wanted.route.profile = "other"
        #expect(!there.fulfils(wanted))
        wanted = there
        wanted.isEphemeral = true
        #expect(!there.fulfils(wanted))
        // A Unix socket is no port.
        wanted.local = .port(0)
        wanted.isEphemeral = false
        var socket = there
        socket.local = .path("/s")
        #expect(!socket.fulfils(wanted))
    }
}
