import ControlProtocol
import Failures
import InstanceConnect
import Testing
import Tunnels

@testable import Daemon

/// The names of forwards: made of targets, and given.
@Suite struct ForwardNamingTests {
    @Test(
        "a target that ASCII can show is its forward's name, with the port",
        arguments: [
            ("i-0123456789abcdef0", "i-0123456789abcdef0-22"), ("web-1", "web-1-22"), ("Web 1", "Web-1-22"),
            ("10.0.1.5", "10.0.1.5-22"), ("2001:db8::5", "2001-db8--5-22"), ("[2001:db8::5]", "2001-db8--5-22"),
            ("web_1.eice", "web_1.eice-22"),
        ])
    func plainTargets(target: String, name: String) { #expect(ForwardNaming.name(target: target, port: 22) == name) }

    static let tags: [String] = [
        "日本語", "中国語", "한국어", "Веб", "Вёб", "🚀", "🚀🚀", "böse", "büse", "b-se", "ä", "ö", "....", "...", ".", "..", "-",
        "--",
        "---", "-x", "--x", ".x", "x", "_", "+++", "***", "web (東京)", "web (大阪)", "é", "e\u{301}", "[::1]", "::1",
        "-22", "=",
        String(repeating: "日", count: 200), String(repeating: "日", count: 201),
        String(repeating: "a", count: 200) + "1", String(repeating: "a", count: 200) + "2", "\u{200B}", " ", "~",
        "--name=x",
    ]

    @Test("forwards of tags that ASCII cannot show have distinct, usable names")
    func otherTags() {
        var names: Set<String> = []
        for tag in Self.tags where tag != "[::1]" {
            for port: UInt16 in [22, 65_535] {
                let name = ForwardNaming.name(target: tag, port: port)
                #expect(ForwardSpecification.isAcceptableName(name), "\(tag): \(name)")
                #expect(name.hasSuffix("-\(port)"))
                #expect(names.insert(name).inserted, "\(tag): \(name)")
                #expect(ForwardNaming.name(target: tag, port: port) == name)
            }
        }
        #expect(ForwardNaming.name(target: "日本語", port: 22).hasPrefix("target-"))
        #expect(ForwardNaming.name(target: "web (東京)", port: 22).hasPrefix("web-"))
        #expect(ForwardNaming.name(target: "[::1]", port: 22) == ForwardNaming.name(target: "::1", port: 22))
    }

    private let translation = RequestTranslation(configuration: Configuration(), environment: .init([:]))

    @Test(
        "a name that is an option or a folder is refused for a new forward and for one that is renamed",
        arguments: ["-x", "--", "-", ".", "..", ".x", "-22", "", "a b", "é", "a/b", String(repeating: "a", count: 65)])
    func refusedNames(name: String) throws {
        let add = ForwardAddParameters(
            name: name, target: "i-0123456789abcdef0", mappings: [Mapping(remotePort: 22)], options: .init())
        let several = ForwardAddParameters(
            name: name, target: "i-0123456789abcdef0",
            mappings: [Mapping(remotePort: 22), Mapping(remotePort: 3389)], options: .init())
        let old = try ForwardSpecification.sample("web")
        for refused in [
            #expect(throws: Failure.self) { try translation.forwards(add) },
            name.isEmpty ? nil : #expect(throws: Failure.self) { try translation.forwards(several) },
            #expect(throws: Failure.self) {
                try translation.changed(old, ForwardSetParameters(forward: "web", name: name))
            },
        ] {
            guard let refused else { continue }
            #expect(refused.kind == .invalidRequest)
            #expect(refused.what.hasPrefix("invalid forward name \""), "\(refused)")
            #expect(refused.why.contains("not beginning with . or -") && refused.hint == "--name web-1")
        }
    }

    @Test("a saved forward keeps a name that is refused today", arguments: ["----22", "-x", ".x", "..", "-n----22"])
    func savedNames(name: String) throws {
        var old = try ForwardSpecification.sample("web")
        old.name = name
        #expect(try SavedForward(old).specification().name == name)
        // Nor is it in the way of another change.
        var parameters = ForwardSetParameters(forward: name, name: name)
        parameters.warm = 1
        #expect(try translation.changed(old, parameters).name == name)
    }
}
