import ControlProtocol
import FoundationEssentials
import TestSupport
import Testing

/// What `journalctl --user` has of the daemon.
@Suite(.enabled("no box for systemd can be made on this machine") { try await SystemdBox.canBeMade })
struct SystemdJournalTests {
    @Test func entriesHaveFieldsKindsAndPriorities() async throws {
        let echo = try LoopbackServer.echo()
        try await SystemdBox.play(port: echo.port) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22", "--name", "web")
            let client = try await box.connect(forward)
            try await expectEcho(on: client)
            client.close()
            try await eventually("the end is in the journal") {
                try await !box.journal("EICED_REASON=local-closed").isEmpty
            }
            let opened = try #require(try await box.journal("MESSAGE_ID=f8de9e2b50764b6f9ff1eb1b8091834a").first)
            let closed = try #require(try await box.journal("MESSAGE_ID=0f1a1707eb3141e2b7ef0a71e8e936a3").first)
            for entry in [opened, closed] {
                #expect(entry["EICED_FORWARD"] == "web" && entry["EICED_TUNNEL"] == "t1", "\(entry)")
                #expect(entry["EICED_TARGET"] == "\(Scene.web):22" && entry["EICED_ENDPOINT"] == Scene.endpoint)
                #expect(entry["EICED_REQUEST_ID"]?.count == 36 && entry["PRIORITY"] == "6")
            }
            #expect(closed["EICED_REASON"] == "local-closed")
            #expect(try await box.journal("MESSAGE_ID=46ab4857878e456faa58806e463c50be", "PRIORITY=5").count == 1)

            try await box.write("[x]\n", to: "/home/alice/.config/eiced/config.toml")
            _ = try await box.run(.alice, "eicectl", "reload")
            try await eventually("what is wrong is in the journal") {
                try await box.journal("MESSAGE_ID=fb737d45fd4c416a9049ae362a510585", "PRIORITY=3").count == 1
            }
        }
    }

    @Test func theCatalogExplainsThem() async throws {
        try await SystemdBox.play(files: [
            "/usr/lib/systemd/catalog/eiced.catalog": try Repository.text("systemd/eiced.catalog")
        ]) {
            box in
            let made = try await box.run(.root, "journalctl", "--update-catalog")
            #expect(made.code == 0 && made.errors.isEmpty, "\(made)")
            try await box.start()
            try await box.add(Scene.web, "22", "--name", "web")
            let text = try await box.alice(
                "journalctl", "--user", "-b", "-x", "--no-pager", "MESSAGE_ID=46ab4857878e456faa58806e463c50be")
            #expect(text.contains("Subject: The forward web listens"), "\(text)")
            #expect(text.contains("lead to \(Scene.web):22"), "\(text)")
        }
    }

    @Test func aJournalThatHangsHoldsUpNobody() async throws {
        let echo = try LoopbackServer.echo()
        try await SystemdBox.play(port: echo.port) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22", "--name", "web")
            let journald = try await box.run(.root, "systemctl", "show", "--value", "-p", "MainPID", "systemd-journald")
                .output
            let process = try #require(Int(journald.split(separator: "\n").first ?? ""))
            try await box.kill("STOP", process)
            // Each leaves entries; the kernel keeps a few hundred.
            for _ in 0..<60 {
                let clients = try await withThrowingTaskGroup(of: LoopbackSocket.self) { group in
                    for _ in 0..<10 { group.addTask { try await box.connect(forward) } }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                for client in clients { try await expectEcho(on: client) }
                for client in clients { client.close() }
            }
            try await box.kill("CONT", process)
            try await eventually("all entries are there") {
                try await box.journal("MESSAGE_ID=0f1a1707eb3141e2b7ef0a71e8e936a3").count == 600
            }
        }
    }

    /// Every kind that the sources name has an id, every id its explanation, and nothing is explained that there is not.
    @Test func theKindsOfTheSourcesAreThoseOfTheCatalog() throws {
        let kinds = try Repository.text("Sources/ServiceManager/LogKinds.swift")
        let table = kinds.matches(of: #/"([a-z-]+)": "([0-9a-f]{32})"/#)
        let ids = Set(table.map { "\($0.2)" })
        let explained = try Repository.text("systemd/eiced.catalog").matches(of: #/(?m)^-- ([0-9a-f]{32})$/#).map {
            "\($0.1)"
        }
        #expect(Set(explained) == ids && explained.count == ids.count && !ids.isEmpty)

        var named: Set<String> = []
        let sources = "\(Repository.root)/Sources"
        for path in try FileManager.default.subpathsOfDirectory(atPath: sources) where path.hasSuffix(".swift") {
            let text = try Repository.text("Sources/\(path)")
            named.formUnion(text.matches(of: #/(?:"event": |as: )"([a-z]+-?[a-z-]+)"/#).map { "\($0.1)" })
        }
        named.remove("starts")
        #expect(named.isSubset(of: Set(table.map { "\($0.1)" })), "\(named.subtracting(table.map { "\($0.1)" }))")
        #expect(Set(table.map { "\($0.1)" }).isSubset(of: named), "\(Set(table.map { "\($0.1)" }).subtracting(named))")
    }
}
