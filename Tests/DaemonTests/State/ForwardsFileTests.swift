import AWS
import Basics
import ControlProtocol
import InstanceConnect
import TestSupport
import Testing
import Transport
import Tunnels

@testable import Daemon

extension ForwardSpecification {
    /// With every field set, or as bare as it can be.
    static func sample(_ name: String, bare: Bool = false) throws -> ForwardSpecification {
        var route = RouteRequest(target: try Target(parsing: "i-0123456789abcdef0"), remotePort: 22)
        var specification = ForwardSpecification(
            name: name, route: route, local: .port(2222), maxDuration: .seconds(3_600))
        guard !bare else { return specification }
        route = RouteRequest(
            target: try Target(parsing: "näme \"x\""), remotePort: 3389, profile: "work", region: "eu-west-1",
            environment: EnvironmentOverlay(
                values: ["AWS_CONFIG_FILE": "/home/u/config"], unset: ["AWS_SHARED_CREDENTIALS_FILE"],
                withheld: ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], files: ["AWS_CONFIG_FILE"]),
            endpointID: "eice-0123456789abcdef0", endpointDNSName: "x.example")
        specification = ForwardSpecification(
            name: name, route: route, local: .path("/run/user/1000/a b.sock"), bindAddress: "0.0.0.0",
            maxDuration: .seconds(60), idleTimeout: .seconds(5))
        specification.allowsRemoteClients = true
        specification.priority = .interactive
        specification.warm = 2
        return specification
    }
}

@Suite struct ForwardsFileTests {
    private func read(_ text: String) -> ForwardsFile.Reading { ForwardsFile.read(Array(text.utf8)) }

    private func isDamaged(_ text: String) -> Bool {
        if case .damaged = read(text) { true } else { false }
    }

    @Test func aForwardComesBackAsItWas() throws {
        for specification in [try ForwardSpecification.sample("full"), try .sample("bare", bare: true)] {
            let saved = SavedForward(specification)
            #expect(try saved.specification() == specification)
            #expect(ForwardsFile.read(try ForwardsFile.text([saved])) == .forwards([saved]))
        }
    }

    /// A field that is forgotten here would be lost at the next restart.
    @Test func everyFieldOfAForwardIsSavedOrKnownNotToBe() throws {
        let specification = try ForwardSpecification.sample("web")
        let fields = Mirror(reflecting: specification).children.compactMap(\.label)
        let route = Mirror(reflecting: specification.route).children.compactMap(\.label)
        let place: Set = [
            "name", "route", "target", "remotePort", "environment", "local", "bindAddress", "allowsRemoteClients",
            "warm",
            // Forwards that are saved have one value of these.
            "isEphemeral", "origin", "access",
        ]
        // All others are settings of its tunnels: as many, and each comes back.
        #expect(Set(fields + route).subtracting(place).count == TunnelSetting.all.count)
        for setting in TunnelSetting.all {
            var changed = try ForwardSpecification.sample("web", bare: true)
            var tunnel = changed.tunnel
            setting.copy(from: TunnelOptions(with: setting), to: &tunnel)
            changed.tunnel = tunnel
            #expect(try changed != .sample("web", bare: true) && changed.tunnel == tunnel, "\(setting.name)")
            #expect(try SavedForward(changed).specification() == changed, "\(setting.name)")
        }
    }

    @Test func theTextIsTheSameForTheSameForwardsInAnyOrder() throws {
        let (a, b) = (try ForwardSpecification.sample("a"), try ForwardSpecification.sample("b", bare: true))
        let one = ForwardList().applying(adding: [a, b])
        let other = ForwardList().applying(adding: [b]).applying(adding: [a])
        #expect(try ForwardsFile.text(one.all) == ForwardsFile.text(other.all))
        #expect(try ForwardsFile.text([]).last == UInt8(ascii: "\n"))
    }

    @Test("a file has the oldest version that holds its forwards, so that an older daemon loses no variables")
    func version() throws {
        let plain = String(decoding: try ForwardsFile.text([SavedForward(try .sample("a", bare: true))]), as: UTF8.self)
        #expect(plain.contains("\"version\" : 1"))
        let full = String(decoding: try ForwardsFile.text([SavedForward(try .sample("a"))]), as: UTF8.self)
        #expect(full.contains("\"version\" : 2"))
    }

    @Test("a file whose variables are not AWS's is damaged", arguments: ["PATH", "AWS_SECRET_ACCESS_KEY", "AWS_PAGER"])
    func foreignVariables(name: String) throws {
        var specification = try ForwardSpecification.sample("a", bare: true)
        specification.route.environment = EnvironmentOverlay(values: [name: "x"])
        let text = String(decoding: try ForwardsFile.text([SavedForward(specification)]), as: UTF8.self)
        #expect(isDamaged(text))
    }

    @Test func aFileOfANewerVersionIsKnownByItsNumberAlone() {
        let next = ForwardsFile.version + 1
        #expect(read(#"{"version": \#(next), "forwards": "all new"}"#) == .fromTheFuture(version: next))
        #expect(read(#"{"version": 99}"#) == .fromTheFuture(version: 99))
    }

    @Test(arguments: [
        "", "{", "[]", "null", "\u{0}\u{0}\u{0}", #"{"forwards": []}"#, #"{"version": 0, "forwards": []}"#,
        #"{"version": "1", "forwards": []}"#, #"{"version": 1}"#, #"{"version": 1, "forwards": [{}]}"#,
        #"{"version": 1, "forwards": [], "#, String(repeating: "[", count: 100_000),
    ]) func whatNobodyWroteSoIsDamaged(_ text: String) { #expect(isDamaged(text)) }

    @Test(arguments: [
        #""name":"a b""#, #""remotePort":0"#, #""remotePort":70000"#, #""maxDuration":0"#, #""maxDuration":3601"#,
        #""idleTimeout":0"#, #""target":"""#, #""bind":"localhost""#, #""bind":"0.0.0.0""#,
        #""local":{"port":1,"path":"/x"}"#,
    ]) func aForwardThatWouldHaveBeenRefusedIsDamage(_ change: String) throws {
        var fields = [
            "name": #""web""#, "target": #""i-0123456789abcdef0""#, "remotePort": "22", "local": #"{"port":2222}"#,
            "maxDuration": "60",
        ]
        func text() -> String {
            #"{"version":1,"forwards":[{\#(fields.map { "\"\($0)\":\($1)" }.joined(separator: ","))}]}"#
        }
        #expect(!isDamaged(text()))
        let colon = try #require(change.firstIndex(of: ":"))
        fields[String(change[..<colon].filter { $0 != "\"" })] = String(change[change.index(after: colon)...])
        #expect(isDamaged(text()), "\(text())")
    }

    @Test func aNameThatStandsThereTwiceIsDamage() throws {
        let saved = SavedForward(try .sample("web"))
        let text = try ForwardsFile.text([saved, saved])
        #expect(ForwardsFile.read(text) == .damaged("it has web twice"))
    }

    @Test func onlyWhatLastsIsKept() throws {
        var ephemeral = try ForwardSpecification.sample("ephemeral")
        ephemeral.isEphemeral = true
        var configured = try ForwardSpecification.sample("configured")
        configured.origin = .configuration
        let kept = try ForwardSpecification.sample("kept")
        let list = ForwardList().applying(adding: [ephemeral, configured, kept])
        #expect(list.all.map(\.name) == ["kept"])
        #expect(list.applying(removing: ["ephemeral", "configured"]) == list)
        #expect(list.applying(removing: ["kept"]) == ForwardList())
        // Renamed in one step; and one that is ephemeral from now on is forgotten.
        var renamed = kept
        renamed.name = "new"
        #expect(list.applying(removing: ["kept"], adding: [renamed]).all.map(\.name) == ["new"])
        var fleeting = kept
        fleeting.isEphemeral = true
        #expect(list.applying(removing: ["kept"], adding: [fleeting]) == ForwardList())
    }
}

@Suite struct NameQueueTests {
    /// An expectation does not take a change of a value.
    private final class Queue {
        private var queue = NameQueue<String>()

        func enter(_ names: Set<String>, _ work: String) -> Bool { queue.enter(names, work) }
        func release(_ names: Set<String>) -> [String] { queue.release(names) }
    }

    @Test func requestsAboutDifferentNamesGoSideBySide() {
        let queue = Queue()
        #expect(queue.enter(["a"], "first"))
        #expect(queue.enter(["b", "c"], "second"))
        #expect(queue.release(["a"]).isEmpty)
    }

    @Test func requestsAboutTheSameNameGoInTheirOrder() {
        let queue = Queue()
        #expect(queue.enter(["a"], "1"))
        #expect(!queue.enter(["a"], "2"))
        #expect(!queue.enter(["a"], "3"))
        #expect(queue.release(["a"]) == ["2"])
        #expect(queue.release(["a"]) == ["3"])
        #expect(queue.release(["a"]).isEmpty)
        #expect(queue.enter(["a"], "4"))
    }

    @Test func aLaterOneDoesNotOvertakeAnEarlierOneThatWaitsForAnotherName() {
        let queue = Queue()
        #expect(queue.enter(["a"], "1"))
        #expect(!queue.enter(["a", "b"], "2"))
        #expect(!queue.enter(["b"], "3"))
        #expect(queue.enter(["c"], "4"))
        #expect(queue.release(["c"]).isEmpty)
        #expect(queue.release(["a"]) == ["2"])
        #expect(queue.release(["a", "b"]) == ["3"])
    }

    @Test func severalMayBeginAtOnce() {
        let queue = Queue()
        #expect(queue.enter(["a", "b"], "1"))
        #expect(!queue.enter(["a"], "2"))
        #expect(!queue.enter(["b"], "3"))
        #expect(queue.release(["a", "b"]) == ["2", "3"])
    }
}
