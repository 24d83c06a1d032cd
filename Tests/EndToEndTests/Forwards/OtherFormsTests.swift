import BadTLS
import FoundationEssentials
import OpenSSL
import Synchronization
import TestSupport
import Testing
import WebSocket

/// What means the same in another form is taken the same: names with a dot at their end, heads of answers as libcurl reads them.
@Suite struct OtherFormsTests {
    /// An endpoint that accepts the upgrade with its head rewritten, and says a line.
    private static func endpoint(_ hosts: Report<String>, rewrite: @escaping @Sendable (String) -> String) throws
        -> RogueEndpoint
    {
        try RogueEndpoint { peer in
            let head = try peer.readRequest()
            let lines = head.split(separator: "\r\n").map(String.init)
            guard
                let key = lines.first(where: { $0.lowercased().hasPrefix("sec-websocket-key:") })?.split(separator: " ")
                    .last
            else { throw TestFailure("no key in \(head)") }
            hosts.add(lines.first { $0.lowercased().hasPrefix("host:") } ?? "")
            let answer = String(decoding: UpgradeResponse.accepting(key: String(key)), as: UTF8.self)
            try peer.write(Array(rewrite(answer).utf8))
            try peer.send(.binary, Array("SSH-2.0-test\r\n".utf8))
            try peer.sendClose(1_000, "")
            _ = try peer.waitForFrame(.close)
            try peer.end()
        }
    }

    private static func bareLineFeeds(_ text: String) -> String {
        String(decoding: text.utf8.filter { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
    }

    private func expectLine(_ rogue: RogueEndpoint, _ arguments: [String], environment: [String: String] = [:])
        async throws
    {
        let variables = rogue.environment.merging(environment) { $1 }
        try await Scene.alone(environment: variables) { daemon in
            let all = ["proxy", RogueEndpoint.address, "22", "--stdio"] + arguments
            let command = try daemon.startEicectl(all, input: .pipe)
            let result = try await command.result(of: "eicectl proxy")
            #expect(result.code == 0 && result.output == "SSH-2.0-test\r\n", "\(result)")
        }
    }

    @Test("a 101 with bare line feeds, folded lines and framing opens the tunnel")
    func lenientUpgrade() async throws {
        let rogue = try Self.endpoint(Report()) { answer in
            Self.bareLineFeeds(answer).replacing(
                "Upgrade: websocket", with: "Upgrade:\n websocket\nContent-Length: 9\nServer : x")
        }
        try await expectLine(rogue, RogueEndpoint.pinned)
    }

    @Test("a proxy that answers CONNECT with bare line feeds opens the way")
    func lenientProxy() async throws {
        let rogue = try Self.endpoint(Report()) { $0 }
        let proxy = try ConnectProxy(answer: "HTTP/1.0 200 OK\nVia: 1.0 old\n\t(very)\nContent-Length: 7\n\n")
        try await expectLine(
            rogue, RogueEndpoint.pinned, environment: ["https_proxy": "http://127.0.0.1:\(proxy.port)"])
    }

    @Test("an endpoint's name with a dot at its end is the name without it, in SNI, certificate and Host")
    func nameWithDot() async throws {
        let hosts = Report<String>()
        let rogue = try Self.endpoint(hosts) { $0 }
        let port = rogue.server.port
        try await expectLine(
            rogue, ["--endpoint", RogueEndpoint.id, "--endpoint-dns", "\(RogueEndpoint.name)."],
            environment: ["EICED_CONNECT_TO": "localhost.:\(port)"])
        #expect(hosts.all == ["Host: \(RogueEndpoint.name)"])
    }

    @Test("a forward of the configuration takes a name with a dot as well")
    func configuredNameWithDot() async throws {
        let hosts = Report<String>()
        let rogue = try Self.endpoint(hosts) { $0 }
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start(
                environment: rogue.environment,
                configuration: """
                    [forwards.web]
                    target = "\(RogueEndpoint.address)"
                    remote_port = 22
                    endpoint = "\(RogueEndpoint.id)"
                    endpoint_dns = "\(RogueEndpoint.name)."
                    """)
            let forward = try #require(try await daemon.status().forwards.first)
            let client = try await Scene.connect(forward)
            #expect(try await onThread { try client.readLine() } == "SSH-2.0-test\r")
        }
        #expect(hosts.all == ["Host: \(RogueEndpoint.name)"])
    }

    @Test(
        "an endpoint's id with a blank is refused",
        arguments: ["\(RogueEndpoint.id) ", " \(RogueEndpoint.id)", "eice-", "eice-0\u{7}", "EICE-0"])
    func badEndpoint(id: String) async throws {
        try await Scene.alone(environment: [
            "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s",
        ]) { daemon in
            for command in [["proxy", "10.0.1.5", "22", "--stdio"], ["add", "10.0.1.5", "22"]] {
                let arguments = command + ["--endpoint", id, "--endpoint-dns", RogueEndpoint.name]
                let result = try await daemon.startEicectl(arguments).result(of: "eicectl \(command[0])")
                #expect(result.code == 64 && result.errors.contains("invalid endpoint"), "\(result)")
                #expect(result.errors.contains("eicectl endpoints"), "\(result)")
            }
        }
    }

    @Test("a certificate outside its time names the clock first", arguments: [true, false])
    func clock(isEarly: Bool) async throws {
        let now = Int64(Date().timeIntervalSince1970)
        let rogue = try RogueEndpoint(
            certificate: { template in
                (template.notBefore, template.notAfter) =
                    isEarly ? (now + 86_400, now + 172_800) : (now - 172_800, now - 86_400)
            }, serve: { _ in })
        try await Scene.alone(environment: rogue.environment) { daemon in
            let result = try await daemon.proxy()
            #expect(result.code == 76, "\(result)")
            #expect(
                result.errors.contains(isEarly ? "not valid yet: it begins at 20" : "has expired: it ended at 20"),
                "\(result)")
            #expect(result.errors.contains("this machine's clock says 20"), "\(result)")
            #expect(result.errors.contains("hint: check this machine's clock"), "\(result)")
            #expect(!result.errors.contains("proxy in between"), "\(result)")
        }
    }
}
