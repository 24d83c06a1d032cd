import TestSupport
import Testing

/// Signatures that the service refuses though the keys are good: the clock is wrong, or a token has reached its end.
@Suite struct SignatureTests {
    /// With these and an address no API call is made: the tunnel's own refusal is what teaches the time.
    private static let pinned = [
        "--endpoint", Scene.endpoint, "--endpoint-dns",
        "\(Scene.endpoint).ec2-instance-connect-endpoint.eu-west-1.amazonaws.com",
    ]

    private static func warnings(_ scene: Scene) -> Int {
        scene.daemon.log.split(separator: "\n").count { $0.contains("this machine's clock is") }
    }

    @Test(arguments: ["10m", "-10m"]) func aClockThatIsOffIsLearnedFromTheAPIWithOneWarning(offset: String) async throws
    {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port, emulator: ["--clock-offset=\(offset)"]) { scene in
            for _ in 0..<3 {
                let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
                #expect(result.code == 0, "\(result)")
            }
            #expect(Self.warnings(scene) == 1, "\(scene.daemon.log)")
        }
    }

    /// Two minutes: EC2's API takes that, a presigned address that lives for one minute is too old.
    @Test(arguments: ["2m", "10m", "-10m"]) func itIsLearnedFromARefusedTunnelAsWell(offset: String) async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port, emulator: ["--clock-offset=\(offset)"]) { scene in
            // Several at once: each is refused, and each is signed again.
            let proxies = try (0..<4).map { _ in
                try scene.daemon.startEicectl(["proxy", Scene.webAddress, "22", "--stdio"] + Self.pinned)
            }
            for proxy in proxies {
                let result = try await proxy.result(of: "proxy")
                #expect(result.code == 0, "\(result)")
            }
            #expect(greeter.acceptedCount == 4)
            #expect(Self.warnings(scene) == 1, "\(scene.daemon.log)")
        }
    }

    /// The next tunnel is refused with the words of an expired token.
    private static let expired = """
        {"kind":"refuse","status":403,"body":"{\\"ErrorCode\\":\\"ExpiredTokenException\\",\\"Message\\":\\"The security token included in the request is expired\\"}"}
        """

    @Test func credentialsThatTheEndpointCallsExpiredAreGotAnewAndTheDialGoesOn() async throws {
        let greeter = try LoopbackServer.greeter()
        let folder = try TemporaryDirectory("aws")
        try await Scene.play(
            port: greeter.port, emulator: ["--fault", Self.expired],
            environment: ["AWS_CONFIG_FILE": folder("config"), "AWS_PROFILE": "work"]
        ) { scene in
            try folder.write("config", "[profile work]\ncredential_process = /bin/sh \(folder("helper.sh"))\n")
            // Each run is good for a little longer: not the same credentials.
            try folder.write(
                "helper.sh",
                """
                echo run >> \(folder("runs"))
                printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","Expiration":"2099-01-01T00:00:%02dZ"}' \\
                  \(scene.emulator.environment["AWS_ACCESS_KEY_ID"] ?? "") \\
                  \(scene.emulator.environment["AWS_SECRET_ACCESS_KEY"] ?? "") $(wc -l < \(folder("runs")))
                """)
            let arguments = ["proxy", Scene.web, "22", "--stdio", "--profile", "work"]
            let first = try scene.daemon.startEicectl(arguments)
            let result = try await first.result(of: "proxy")
            #expect(result.code == 0, "\(result)")
            #expect(contents(of: folder("runs")) == "run\nrun\n")
            #expect(try await scene.daemon.status().needsLogin.isEmpty)
        }
    }

    @Test func keysThatAFileStillHoldsAreNotUsedOnceAWSCalledThemExpired() async throws {
        let greeter = try LoopbackServer.greeter()
        let folder = try TemporaryDirectory("aws")
        try await Scene.play(
            port: greeter.port, emulator: ["--session-token", "--fault", Self.expired],
            environment: ["AWS_SHARED_CREDENTIALS_FILE": folder("credentials")]
        ) { scene in
            func write(_ note: String) throws {
                let keys = scene.emulator.environment
                try folder.write(
                    "credentials",
                    """
                    [work]
                    # \(note)
                    aws_access_key_id = \(keys["AWS_ACCESS_KEY_ID"] ?? "")
                    aws_secret_access_key = \(keys["AWS_SECRET_ACCESS_KEY"] ?? "")
                    aws_session_token = \(keys["AWS_SESSION_TOKEN"] ?? "")
                    """)
            }
            try write("old")
            let forward = try await scene.add(Scene.web, "--profile", "work")
            for _ in 0..<2 {
                let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--profile", "work")
                #expect(result.code == 77, "\(result)")
                #expect(result.errors.contains("ExpiredTokenException"), "\(result)")
                #expect(result.errors.contains("write new keys for profile work into \(folder("credentials"))"))
            }
            #expect(greeter.acceptedCount == 0)
            let status = try await scene.daemon.status()
            #expect(status.needsLogin.map(\.profile) == ["work"])
            #expect(status.forwards.map(\.name) == [forward.name])
            // Other identities do not notice.
            let other = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(other.code == 0, "\(other)")
        }
    }
}
