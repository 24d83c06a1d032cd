import ControlProtocol
import Failures
import FoundationEssentials
import Glibc
import Testing

@testable import Daemon

@Suite struct ConfigurationTests {
    private func parse(_ text: String) throws -> Configuration {
        try Configuration.parse(Array(text.utf8), file: "c.toml").0
    }

    private func warnings(_ text: String) throws -> [String] {
        try Configuration.parse(Array(text.utf8), file: "c.toml").warnings
    }

    /// The sentences of all mistakes.
    private func mistakes(_ text: String) -> [String] {
        do {
            _ = try Configuration.parse(Array(text.utf8), file: "c.toml")
            return []
        } catch {
            return error.failures.map(\.sentence)
        }
    }

    @Test func anEmptyFileIsTheDefaults() throws {
        #expect(try parse("") == Configuration())
        let configuration = Configuration()
        #expect(configuration.endpoint("eice-1").maxConnections == 20)
        #expect(configuration.timeouts.tunnel.queue == .seconds(30))
        #expect(configuration.standard(for: nil).maxDuration == 3_600)
    }

    @Test func everyKeyIsTaken() throws {
        let configuration = try parse(
            """
            [forwards.db]
            target = "i-0123456789abcdef0"
            remote_port = 3389
            local = 13389
            bind = "127.0.0.2"
            allow_remote = false
            profile = "p2"
            region = "us-east-1"
            endpoint = "eice-0a1"
            endpoint_dns = "eice-0a1.example.com"
            max_duration = "20m"
            idle_timeout = 60
            [forwards."x.y"]
            target = "web"
            remote_port = 22
            local = "/run/x.sock"
            idle_timeout = 0
            [defaults]
            profile = "p1"
            region = "eu-west-1"
            bind = "127.0.0.1"
            max_duration = 1800
            idle_timeout = "30m"
            [endpoints.eice-0a1]
            max_connections = 5
            [timeouts]
            resolve = 1
            connect = "2s"
            tls = "3s"
            upgrade = "4s"
            dial = "5s"
            queue = "6s"
            drain = "7s"
            close = "800ms"
            shutdown_drain = "9s"
            restart_drain = "11s"
            hello = "10s"
            [pool]
            queue_length = 7
            [log]
            level = "debug"
            """)
        var db = Configuration.Forward()
        db.target = "i-0123456789abcdef0"
        db.remotePort = 3_389
        db.local = .port(13_389)
        db.bind = "127.0.0.2"
        db.tunnel = TunnelOptions(
            profile: "p2", region: "us-east-1", endpoint: "eice-0a1", endpointDNSName: "eice-0a1.example.com",
            maxDuration: 1_200, idleTimeout: 60, priority: .normal)
        #expect(configuration.forwards["db"] == db)
        // What is left out comes from the defaults, though they stand below; 0 means none; a path has no bind.
        var xy = Configuration.Forward()
        xy.target = "web"
        xy.remotePort = 22
        xy.local = .path("/run/x.sock")
        xy.tunnel = TunnelOptions(
            profile: "p1", region: "eu-west-1", maxDuration: 1_800, idleTimeout: 0, priority: .normal)
        #expect(configuration.forwards["x.y"] == xy)
        #expect(configuration.defaults.tunnel.idleTimeout == 1_800)
        #expect(configuration.endpoint("eice-0a1").maxConnections == 5)
        var timeouts = Configuration.Timeouts()
        timeouts.tunnel.resolve = .seconds(1)
        timeouts.dial.connect = .seconds(2)
        timeouts.dial.tls = .seconds(3)
        timeouts.dial.upgrade = .seconds(4)
        timeouts.tunnel.dial = .seconds(5)
        timeouts.tunnel.queue = .seconds(6)
        timeouts.tunnel.drain = .seconds(7)
        timeouts.tunnel.close = .milliseconds(800)
        timeouts.shutdownDrain = .seconds(9)
        timeouts.restartDrain = .seconds(11)
        timeouts.hello = .seconds(10)
        #expect(configuration.timeouts == timeouts)
        #expect(configuration.pool.queueLength == 7)
        #expect(configuration.log.level == .debug)
    }

    @Test func everyMistakeIsReportedInTheFilesOrder() {
        #expect(
            mistakes(
                """
                [forwards.db]
                target = ""
                remot_port = 22
                [timeout]
                connect = "1s"
                [timeouts]
                connect = "1d"
                dial = true
                [log]
                level = "warn"
                """) == [
                    "c.toml:1:11: forwards.db: expected the key remote_port",
                    "c.toml:2:10: forwards.db.target: expected an instance id, a private address, a Name tag or a "
                        + "private DNS name, found the string \"\"",
                    "c.toml:3:1: forwards.db.remot_port: there is no such key; did you mean remote_port?",
                    "c.toml:4:2: timeout: there is no such table; did you mean timeouts?",
                    "c.toml:7:11: timeouts.connect: expected a length of time from 100ms to 5m, such as \"10s\", found the "
                        + "string \"1d\"",
                    "c.toml:8:8: timeouts.dial: expected a length of time from 100ms to 5m, such as \"10s\", found true",
                    "c.toml:10:9: log.level: expected one of \"trace\", \"debug\", \"info\", \"notice\", \"warning\", "
                        + "\"error\", \"critical\", found the string \"warn\"; did you mean \"warning\"?",
                ])
    }

    @Test(arguments: [
        (
            "[defaults]\nmax_duration = 3601",
            "c.toml:2:16: defaults.max_duration: expected a length of time from 1s to 1h"
        ),
        ("[defaults]\nmax_duration = 0", "c.toml:2:16: defaults.max_duration: expected a length"),
        ("[defaults]\nmax_duration = \"1500ms\"", "c.toml:2:16: defaults.max_duration: expected a length"),
        ("[defaults]\nmax_duration = -1", "c.toml:2:16: defaults.max_duration: expected a length"),
        ("[defaults]\nidle_timeout = 9223372036854775807", "c.toml:2:16: defaults.idle_timeout: expected a length"),
        ("[defaults]\nbind = \"nohost\"", "c.toml:2:8: defaults.bind: expected an IP address"),
        ("[defaults]\nregion = \"EU\"", "c.toml:2:10: defaults.region: expected an AWS region"),
        ("[defaults]\nprofile = \"a\\nb\"", "c.toml:2:11: defaults.profile: expected the name of an AWS profile"),
        (
            "[defaults]\nprofile = 1",
            "c.toml:2:11: defaults.profile: expected the name of an AWS profile, found the number 1"
        ),
        ("defaults = 1", "c.toml:1:1: defaults: expected a table, found the number 1"),
        ("connect = \"1s\"", "c.toml:1:1: connect: expected inside the table [timeouts]"),
        ("colour = 1", "c.toml:1:1: colour: there is no such table; expected one of defaults, profiles, endpoints"),
        ("[[forwards]]\ntarget = 1", "c.toml:1:3: forwards: expected a table, found an array"),
        ("[endpoints.x]\nmax_connections = 1", "c.toml:1:12: endpoints.x: expected the id of an EC2"),
        (
            "[endpoints.eice-1]\nmax_connections = 0",
            "c.toml:2:19: endpoints.eice-1.max_connections: expected a whole number"
        ),
        ("[endpoints]\neice-1 = 5", "c.toml:2:1: endpoints.eice-1: expected a table, found the number 5"),
        ("[forwards.\"a b\"]\n", "c.toml:1:11: forwards.\"a b\": expected 1 to 64 letters"),
        ("[forwards.-x]\n", "c.toml:1:11: forwards.-x: expected 1 to 64 letters"),
        ("[forwards.\"..\"]\n", "c.toml:1:11: forwards.\"..\": expected 1 to 64 letters"),
        ("[forwards]\na = 5", "c.toml:2:1: forwards.a: expected a table"),
        (
            "[pool]\nqueue_length = 1.5",
            "c.toml:2:16: pool.queue_length: expected a whole number from 0 to 10000, found a float"
        ),
        ("[log]\nlevel = \"wraning\"", "c.toml:2:9: log.level: expected one of"),
        (
            "[defaults]\nallow_users = [\"root\", \"nobody-of-that-name\"]",
            "c.toml:2:24: defaults.allow_users: expected a user of this machine, by name or number, found the string \"nobody"
        ),
        (
            "[defaults]\nallow_networks = [\"10.0.0.0/8\", 5]",
            "c.toml:2:33: defaults.allow_networks: expected a network such as \"10.0.0.0/8\", found the number 5"
        ),
        ("[log\n", "c.toml:1:5: "),
        ("\"\\u001b[31m\" = 1", "c.toml:1:1: \"\\u{1B}[31m\": there is no such table"),
    ])
    func eachMistakeNamesItsPlace(text: String, beginning: String) {
        let mistakes = mistakes(text)
        #expect(mistakes.count == 1)
        #expect(mistakes.first?.hasPrefix(beginning) == true, "\(mistakes)")
    }

    @Test func aMistypedChoiceIsCorrected() {
        for level in ["wraning", "warn"] {
            #expect(mistakes("[log]\nlevel = \"\(level)\"").first?.hasSuffix("; did you mean \"warning\"?") == true)
        }
    }

    static let forward = "[forwards.a]\ntarget = \"t\"\nremote_port = 22\n"

    @Test(arguments: [
        ("target", "[forwards.a]\ntarget = \"i-12\"\nremote_port = 22"),
        ("target", "[forwards.a]\ntarget = \"eice-1\"\nremote_port = 22"),
        ("remote_port", "[forwards.a]\ntarget = \"t\"\nremote_port = 0"),
        ("remote_port", "[forwards.a]\ntarget = \"t\"\nremote_port = 65536"),
        ("local", forward + "local = -1"), ("local", forward + "local = \"x.sock\""),
        ("local", forward + "local = true"),
        ("local", forward + "local = \"/\(String(repeating: "x", count: 107))\""),
        ("bind", forward + "bind = \"0.0.0.0\""), ("bind", forward + "bind = \"10.0.0.1\"\nallow_remote = false"),
        ("bind", forward + "bind = \"127.0.0.1\"\nlocal = \"/x\""),
        ("endpoint", forward + "endpoint = \"vpce-1\""), ("endpoint_dns", forward + "endpoint_dns = \"a.b\""),
        ("endpoint_dns", forward + "endpoint = \"eice-1\"\nendpoint_dns = \"a b\""),
        ("allow_remote", forward + "allow_remote = \"yes\""),
    ])
    func aForwardsKeysAreChecked(key: String, text: String) {
        let mistakes = mistakes(text)
        #expect(mistakes.count == 1 && mistakes.first?.contains(" forwards.a.\(key): ") == true, "\(mistakes)")
    }

    @Test func twoForwardsCannotListenAtOnePlace() throws {
        let second = "[forwards.b]\ntarget = \"t\"\nremote_port = 22\n"
        #expect(
            mistakes(Self.forward + "local = 2222\n" + second + "local = 2222")
                == ["c.toml:8:9: forwards.b.local: forwards.a listens there already"])
        _ = try parse(Self.forward + second)
        _ = try parse(
            Self.forward + "local = 2222\nbind = \"127.0.0.1\"\n" + second + "local = 2222\nbind = \"127.0.0.2\"")
        // Without `bind` it is both loopback addresses; one on all addresses leaves none to others.
        for (one, other) in [("", "bind = \"::1\"\n"), ("bind = \"0.0.0.0\"\nallow_remote = true\n", "")] {
            let text = Self.forward + "local = 2222\n\(one)" + second + "\(other)local = 2222\n"
            #expect(mistakes(text).count == 1, "\(mistakes(text))")
            #expect(mistakes(text).first?.hasSuffix("forwards.b.local: forwards.a listens there already") == true)
        }
        _ = try parse(
            Self.forward + "local = 2222\nbind = \"::\"\nallow_remote = true\n" + second
                + "local = 2222\nbind = \"127.0.0.1\"")
    }

    @Test func aProfileHasItsOwnDefaults() throws {
        let configuration = try parse(
            """
            [defaults]
            region = "eu-west-1"
            idle_timeout = "30m"
            [forwards.a]
            target = "10.0.1.5"
            remote_port = 22
            profile = "prod"
            [forwards.b]
            target = "10.0.1.5"
            remote_port = 22
            profile = "prod"
            endpoint = "eice-2"
            region = "eu-west-2"
            [forwards.c]
            target = "10.0.1.5"
            remote_port = 22
            profile = "dev"
            [profiles.prod]
            region = "us-east-1"
            endpoint = "eice-1"
            endpoint_dns = "eice-1.example.com"
            max_duration = "15m"
            idle_timeout = 0
            """)
        let (a, b, c) = (
            configuration.forwards["a"]?.tunnel, configuration.forwards["b"]?.tunnel,
            configuration.forwards["c"]?.tunnel
        )
        #expect(a?.region == "us-east-1")
        #expect(a?.endpoint == "eice-1" && a?.endpointDNSName == "eice-1.example.com")
        #expect(a?.maxDuration == 900 && a?.idleTimeout == 0)
        // What stands at the forward counts for more, and another endpoint has another name.
        #expect(b?.region == "eu-west-2" && b?.endpoint == "eice-2" && b?.endpointDNSName == nil)
        #expect(c?.region == "eu-west-1" && c?.endpoint == nil && c?.idleTimeout == 1_800)
    }

    @Test(arguments: [
        ("[profiles.prod]\nregoin = 1", "c.toml:2:1: profiles.prod.regoin: there is no such key; did you mean region?"),
        ("[profiles]\nprod = 1", "c.toml:2:1: profiles.prod: expected a table, found the number 1"),
        ("[profiles.\"\"]", "c.toml:1:11: profiles.\"\": expected the name of an AWS profile"),
        ("[profiles.p]\nendpoint_dns = \"a.b\"", "c.toml:2:16: profiles.p.endpoint_dns: expected the key endpoint"),
    ]) func aProfilesKeysAreChecked(text: String, beginning: String) {
        #expect(mistakes(text).count == 1 && mistakes(text).first?.hasPrefix(beginning) == true, "\(mistakes(text))")
    }

    @Test func whatIsAllowedButUnwiseIsSaid() throws {
        #expect(
            try #require(warnings("[endpoints.eice-1]\nmax_connections = 25").first)
                .hasPrefix("c.toml:2:19: endpoints.eice-1.max_connections: 25 is more than the 20 connections"))
        #expect(
            try warnings(Self.forward + "bind = \"::\"\nallow_remote = true")
                == ["c.toml:4:8: forwards.a.bind: listens on ::, where other hosts can reach it"])
        #expect(try warnings("[timeouts]\ndial = 5\ntls = 6").count == 1)
        #expect(try warnings("[endpoints.eice-1]\nmax_connections = 20").isEmpty)
    }

    @Test func manyMistakesAreOneFailureWhereOnlyOneCanBeTold() throws {
        let error = try #require(throws: InvalidConfiguration.self) { _ = try parse("a = 1\nb = 2") }
        #expect(error.failures.allSatisfy { $0.kind == .configuration })
        #expect(error.summary.what == "the configuration has 2 mistakes")
        #expect(error.summary.why.contains("c.toml:2:1: b"))
        let first = try #require(error.failures.first)
        #expect(InvalidConfiguration(failures: [first]).summary == first)
    }

    // MARK: Files

    private func withFolder(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/eiced-configuration-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    @Test func theFileIsFoundAsTheXDGSpecificationHasIt() throws {
        #expect(Configuration.defaultPath { ["XDG_CONFIG_HOME": "/x", "HOME": "/h"][$0] } == "/x/eiced/config.toml")
        #expect(
            Configuration.defaultPath { ["XDG_CONFIG_HOME": "x", "HOME": "/h"][$0] } == "/h/.config/eiced/config.toml")
        #expect(Configuration.defaultPath { ["XDG_CONFIG_HOME": ""][$0] } == nil)
    }

    @Test func aMissingFileIsFineUnlessItWasNamed() throws {
        try withFolder { folder in
            let (configuration, _) = try Configuration.load(path: nil) { _ in folder }
            #expect(configuration == Configuration())
            let error = try #require(throws: InvalidConfiguration.self) {
                _ = try Configuration.load(path: "\(folder)/none.toml")
            }
            #expect(
                error.summary.sentence == "cannot read the configuration \(folder)/none.toml: no such file or directory"
            )
        }
    }

    @Test func aFileIsReadAndCannotHoldUsUp() throws {
        try withFolder { folder in
            try FileManager.default.createDirectory(atPath: "\(folder)/eiced", withIntermediateDirectories: false)
            try Data("[log]\nlevel = \"trace\"\n".utf8).write(to: URL(filePath: "\(folder)/eiced/config.toml"))
            let (configuration, _) = try Configuration.load(path: nil) { _ in folder }
            #expect(configuration.log.level == .trace)
            #expect(mkfifo("\(folder)/fifo", 0o600) == 0)
            for bad in [folder, "/dev/zero", "\(folder)/fifo"] {
                #expect(throws: InvalidConfiguration.self) { _ = try Configuration.load(path: bad) }
            }
        }
    }
}
