import Failures
import Glibc
import SocketIO
import Synchronization
import TestSupport
import Testing
import WebSocket

/// What endpoints, proxies and EC2 say, in everything that leaves the programs: nothing of it moves a cursor or begins a line, and
/// none of it repeats a secret, however late it comes.
@Suite struct ForeignTextTests {
    private static let token = "IQoJb3JpZ2luX2VjEPT/planted+token/" + String(repeating: "q7Zk", count: 40)
    private static let keyID = "AKIAIOSFODNN7EXAMPLE"

    /// All that the programs show or keep, by its place.
    private func shown(of daemon: EicedDaemon) async throws -> [(place: String, text: String)] {
        var shown: [(String, String)] = []
        for arguments in [
            ["status"], ["status", "--json"], ["ls"], ["ls", "--json"], ["tunnels"], ["tunnels", "--json"], ["events"],
            ["events", "--json"], ["endpoints"], ["endpoints", "--json"], ["metrics"],
        ] {
            let result = try await daemon.startEicectl(arguments).result(of: arguments.joined(separator: " "))
            shown.append((arguments.joined(separator: " "), result.output + result.errors))
        }
        shown.append(("the audit", contents(of: daemon.directory("state/eiced/audit.jsonl")) ?? ""))
        shown.append(("the log", daemon.log))
        return shown
    }

    private func expectHarmless(_ text: String, in place: String) {
        let bad = text.unicodeScalars.first { ForeignText.isUnsafe($0) && $0 != "\n" }
        #expect(bad == nil, "\(place) has U+\(String(bad?.value ?? 0, radix: 16))")
    }

    private func environment(of rogue: RogueEndpoint) -> [String: String] {
        var environment = rogue.environment
        environment["AWS_SESSION_TOKEN"] = Self.token
        environment["AWS_ACCESS_KEY_ID"] = Self.keyID
        return environment
    }

    @Test("what an endpoint repeats in a 101 or in a close is shown nowhere, and nothing it says controls a terminal")
    func endpoint() async throws {
        let signatures = Report<String>()
        /// The id of the 101 and the reason of the close, made of the request's signature.
        let answers: [@Sendable (String) -> (id: String, reason: String)] = [
            { ($0, "bad signature \($0)") }, { _ in (Self.token, "no \(Self.token.prefix(100))") },
            { _ in (Self.keyID, "key \(Self.keyID)") }, { ($0.uppercased(), "Signature=\($0)") },
            { _ in (String(Self.token.suffix(40)), "x-amz-security-token: \(Self.token.prefix(90))") },
            { _ in
                (
                    String(repeating: "a1-", count: 4_000),
                    "\u{1B}[2J\u{85}\u{2028}\u{202E}\r\neicectl: error: forged\u{9B}1m"
                )
            },
            { _ in ("a\u{85}\u{9B}2Jb", "Unable to connect to target\r\nforged\u{2029}") },
        ]
        let turn = Mutex(0)
        let rogue = try RogueEndpoint { peer in
            let request = try peer.readRequest()
            let signature = String(request.split(separator: "X-Amz-Signature=").last?.prefix { $0.isHexDigit } ?? "")
            signatures.add(signature)
            let key =
                request.split(separator: "\r\n").first { $0.lowercased().hasPrefix("sec-websocket-key:") }?
                .split(separator: " ").last.map(String.init) ?? ""
            let answer = answers[
                turn.withLock { turn in
                    defer { turn += 1 }
                    return turn % answers.count
                }](signature)
            let head = String(decoding: UpgradeResponse.accepting(key: key), as: UTF8.self)
            let line = "HTTP/1.1 101 Switching Protocols\r\n"
            guard head.hasPrefix(line) else { throw TestFailure(head) }
            try peer.write(
                Array("\(line)x-amzn-RequestId: \(answer.id)\r\n".utf8) + Array(head.utf8.dropFirst(line.utf8.count)))
            try peer.sendClose(1_011, String(decoding: answer.reason.utf8.prefix(120), as: UTF8.self))
            _ = try? peer.waitForFrame(.close)
        }
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start(
                environment: environment(of: rogue), configuration: Scene.table(of: [:]),
                arguments: ["--log-level", "trace"])
            _ = try await daemon.add([RogueEndpoint.address, "22", "--name", "p"] + RogueEndpoint.pinned)
            var texts: [(place: String, text: String)] = []
            for number in answers.indices {
                let proxy = try await daemon.proxy()
                #expect(proxy.code != 0, "\(proxy)")
                texts.append(("proxy \(number)", proxy.errors + proxy.output))
                #expect(!proxy.errors.split(separator: "\n").contains("eicectl: error: forged"), "\(proxy)")
            }
            try await eventually("the audit has all tunnels") {
                contents(of: daemon.directory("state/eiced/audit.jsonl"))?.split(separator: "\n").count == answers.count
            }
            texts += try await shown(of: daemon)
            #expect(signatures.all.count == answers.count && signatures.all.allSatisfy { $0.utf8.count == 64 })
            let secrets = signatures.all + [Self.token, Self.keyID]
            for (place, text) in texts {
                expectHarmless(text, in: place)
                #expect(!text.contains(String(repeating: "a1-", count: 50)), "\(place) has all of a long id")
                let lower = text.lowercased()
                for secret in secrets {
                    for part in [secret.prefix(16), secret.suffix(16), secret.dropFirst(40).prefix(16)]
                    where !part.isEmpty {
                        #expect(!lower.contains(part.lowercased()), "\(place) shows a secret")
                    }
                }
            }
            // What is no secret is said.
            #expect(texts.contains { $0.text.contains("bad signature …") })
            #expect(texts.contains { $0.text.contains("Unable to connect to target") })
        }
    }

    @Test("a proxy that repeats its password in the reason phrase is not quoted") func proxy() async throws {
        let password = "planted-proxy-password"
        let turn = Mutex(0)
        let server = try LoopbackServer { client in
            var head = ""
            while !head.contains("\r\n\r\n") {
                let more = try client.read(upTo: 1)
                if more.isEmpty { return }
                head += String(decoding: more, as: UTF8.self)
            }
            let sent =
                head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("proxy-auth") }.map(String.init) ?? ""
            let reasons = [sent, "no \(password)", "no ann:\(password)", "no \(sent.split(separator: " ").last ?? "")"]
            let reason = reasons[
                turn.withLock { turn in
                    defer { turn += 1 }
                    return turn % reasons.count
                }]
            try client.write("HTTP/1.1 407 \(reason)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        let rogue = try RogueEndpoint { _ in }
        var environment = environment(of: rogue)
        environment["HTTPS_PROXY"] = "http://ann:\(password)@127.0.0.1:\(server.port)"
        environment["NO_PROXY"] = ""
        let variables = environment
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start(
                environment: variables, configuration: Scene.table(of: [:]), arguments: ["--log-level", "trace"])
            var texts: [(place: String, text: String)] = []
            for _ in 0..<4 {
                let proxy = try await daemon.proxy()
                #expect(proxy.code == 77 && proxy.errors.contains("407"), "\(proxy)")
                texts.append(("proxy", proxy.errors))
            }
            texts += try await shown(of: daemon)
            for (place, text) in texts {
                #expect(!text.contains("planted"), "\(place) shows the password")
                #expect(!text.contains("YW5uOnBsYW50ZWQ"), "\(place) shows the password, encoded")
            }
        }
    }

    @Test(
        "EC2's names reach tables, JSON and messages without control characters, and no proxy is sent a header of theirs"
    )
    func names() async throws {
        let requests = Report<String>()
        let proxy = try LoopbackServer { client in
            var head = ""
            while !head.contains("\r\n\r\n") {
                let more = try client.read(upTo: 1)
                if more.isEmpty { return }
                head += String(decoding: more, as: UTF8.self)
            }
            requests.add(head)
            try client.write("HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        let ec2 = try HTTPStub { request in
            let item =
                request.body.contains("DescribeInstanceConnectEndpoints")
                ? """
                <instanceConnectEndpointSet><item><instanceConnectEndpointId>eice-1</instanceConnectEndpointId>
                <state>create-complete</state><vpcId>vpc-1</vpcId><subnetId>subnet-1</subnetId>
                <dnsName>a.example&#13;&#10;X-Evil: 1</dnsName></item></instanceConnectEndpointSet>
                """
                : """
                <reservationSet><item><instancesSet>
                <item><instanceId>i-0123456789abcdef0</instanceId><instanceState><name>running</name></instanceState>
                <privateIpAddress>10.0.1.5</privateIpAddress><vpcId>vpc-1</vpcId>
                <tagSet><item><key>Name</key><value>web&#x9B;2J&#x85;&#x2028;&#x202E;&#10;forged</value></item></tagSet></item>
                <item><instanceId>i-0123456789abcdef1&#10;$(id)</instanceId><instanceState><name>running</name></instanceState>
                </item></instancesSet></item></reservationSet>
                """
            return .init(
                200,
                "<R xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>\(item)</R>".replacing(
                    "<R ",
                    with: request.body.contains("Endpoints")
                        ? "<DescribeInstanceConnectEndpointsResponse " : "<DescribeInstancesResponse "
                ).replacing(
                    "</R>",
                    with: request.body.contains("Endpoints")
                        ? "</DescribeInstanceConnectEndpointsResponse>" : "</DescribeInstancesResponse>"))
        }
        let environment = [
            "AWS_ACCESS_KEY_ID": Self.keyID, "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/EXAMPLEKEY",
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_EC2": ec2.url, "HTTPS_PROXY": "http://127.0.0.1:\(proxy.port)",
        ]
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start(environment: environment, configuration: Scene.table(of: [:]))
            let result = try await daemon.eicectl("proxy", "i-0123456789abcdef0", "22", "--stdio")
            #expect(result.code == 68 && result.errors.contains("has no DNS name"), "\(result)")
            #expect(requests.all.isEmpty, "\(requests.all)")
            for (place, text) in try await shown(of: daemon) + [("proxy", result.errors)] {
                expectHarmless(text, in: place)
                #expect(!text.contains("X-Evil"), "\(place)")
            }
            // A name that the user gives is checked by the same rule, wherever it is given.
            for arguments in [
                ["add", "10.0.1.5", "22", "--endpoint", "eice-1", "--endpoint-dns", "a.example\r\nX-Evil: 1"],
                ["proxy", "10.0.1.5", "22", "--stdio", "--endpoint", "eice-1", "--endpoint-dns", "a b"],
                ["proxy", "10.0.1.5", "22", "--stdio", "--endpoint", "eice-1\r\nX: 1", "--endpoint-dns", "a.example"],
            ] {
                let refused = try await daemon.startEicectl(arguments).result(of: arguments[0])
                #expect(refused.code == 64 || refused.code == 65, "\(refused)")
            }
            let added = try await daemon.add(["10.0.1.5", "22", "--endpoint", "eice-1", "--endpoint-dns", "a.example"])
            let set = try await daemon.eicectl("set", added.name, "--endpoint-dns", "a.example\r\nX-Evil: 1")
            #expect(set.code == 64 && set.errors.contains("invalid endpoint-dns"), "\(set)")
            #expect(requests.all.allSatisfy { !$0.contains("X-Evil") })
        }
    }

    @Test("one refusal's Date of another decade moves no signature")
    func dates() async throws {
        let ec2 = try HTTPStub { request in
            .init(
                400, headers: [("Date", "Sat, 01 Jun 2030 00:00:00 GMT")],
                "<Response><Errors><Error><Code>RequestExpired</Code><Message>late</Message></Error></Errors></Response>"
            )
        }
        let seen = Report<String>()
        let rogue = try RogueEndpoint { peer in
            let request = try peer.readRequest()
            seen.add(String(request.split(separator: "X-Amz-Date=").dropFirst().first?.prefix(4) ?? ""))
            let body = #"{"ErrorCode":"RequestTimeTooSkewed","Message":"late"}"#
            try peer.write(
                Array(
                    "HTTP/1.1 403 No\r\nDate: Mon, 01 Jan 0001 00:00:00 GMT\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
                        .utf8))
            try peer.end()
        }
        var environment = environment(of: rogue)
        environment["AWS_ENDPOINT_URL_EC2"] = ec2.url
        let variables = environment
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start(environment: variables, configuration: Scene.table(of: [:]))
            for _ in 0..<2 {
                let looked = try await daemon.eicectl("proxy", "i-0123456789abcdef0", "22", "--stdio")
                #expect(looked.code != 0, "\(looked)")
                #expect(try await daemon.proxy().code == 77)
            }
            let years = Set(ec2.requests.compactMap { $0.header("x-amz-date")?.prefix(4) }.map(String.init) + seen.all)
            #expect(years.count == 1 && !years.contains("2030") && !years.contains("0001"), "\(years)")
            #expect(daemon.log.contains("ignored the time of"), "\(daemon.log)")
        }
    }
}
