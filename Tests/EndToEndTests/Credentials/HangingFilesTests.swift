import Glibc
import TestSupport
import Testing

/// Files of the user's that hang: whoever needs them hears of it, and nobody else waits.
@Suite struct HangingFilesTests {
    enum Place: String, CaseIterable, Sendable {
        case config, credentials, cache, token, bundle, helper

        /// Who needs it.
        var profile: String {
            switch self {
            case .config, .credentials: "keys"
            case .cache: "sso"
            case .token: "far-token"
            case .bundle: "far-bundle"
            case .helper: "far-helper"
            }
        }

        /// The file, below the home.
        var file: String {
            switch self {
            case .config: ".aws/config"
            case .credentials: ".aws/credentials"
            case .cache: ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json"
            case .token: "far/jwt"
            case .bundle: "far/bundle.pem"
            case .helper: "far/helper.sh"
            }
        }

        /// The folder that hangs, below the home.
        var folder: String { String(file.split(separator: "/").dropLast().joined(separator: "/")) }
    }

    /// More than there are threads in Swift's own pool.
    private static let many = max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))) + 2

    private static func play(
        timeouts: [String: String] = [:], _ body: @Sendable (Scene, IdentityScene) async throws -> Void
    ) async throws {
        let greeter = try LoopbackServer.greeter()
        let person = try IdentityScene()
        try person.home.makeDirectory("far")
        try await Scene.play(
            port: greeter.port, emulator: ["--session-token"], environment: person.environment, timeouts: timeouts,
            trustsByProfile: true
        ) { scene in
            try person.moveIn(with: scene.emulator.environment)
            try person.add(profile: "far-token", "")
            try person.add(profile: "far-bundle", "ca_bundle = \(person.home("far/bundle.pem"))")
            let config = try #require(contents(of: person.home(".aws/config")))
            try person.home.write(
                ".aws/config",
                config.replacing("[profile far-token]", with: "[profile unused]") + """

                    [profile far-token]
                    role_arn = arn:aws:iam::123456789012:role/r
                    web_identity_token_file = \(person.home("far/jwt"))
                    [profile far-helper]
                    credential_process = \(person.home("far/helper.sh"))

                    """)
            try person.home.write("far/jwt", person.secret("web identity token"))
            try person.home.write(
                "far/bundle.pem", contents(of: scene.emulator.environment["AWS_CA_BUNDLE"] ?? "") ?? "")
            try person.home.write(
                "far/helper.sh", "#!/bin/sh\n" + (contents(of: person.home("helper.sh")) ?? ""), mode: 0o700)
            try await body(scene, person)
        }
    }

    private static func proxy(_ scene: Scene, _ profile: String) throws -> ChildProcess {
        try scene.daemon.startEicectl(["proxy", Scene.web, "22", "--stdio", "--profile", profile])
    }

    /// Status and metrics answer while `many` dials wait, each of which hears of `path`.
    private static func checkOthers(_ scene: Scene, _ place: Place, _ path: String) async throws {
        let proxies = try (0..<many).map { _ in try proxy(scene, place.profile) }
        try await eventually("the dials wait") {
            let list = try await scene.daemon.eicectl("tunnels", "--json")
            return list.output.split(separator: "resolving").count > many || proxies.contains { $0.exit != nil }
        }
        for command in ["status", "metrics"] {
            let result = try await scene.daemon.eicectl(command)
            #expect(result.code == 0, "\(result)")
        }
        for proxy in proxies {
            let result = try await proxy.result(of: "a dial that waits for \(place.rawValue)")
            #expect(result.code != 0 && result.errors.contains(path), "\(result)")
        }
    }

    @Test(
        "while a file hangs, status and metrics answer, its dials are told which file it is, and they work again afterwards",
        .enabled(if: HangingFolder.isPossible, "FUSE cannot be used here"), arguments: Place.allCases)
    func hangingFiles(_ place: Place) async throws {
        try await Self.play { scene, person in
            let folder = try HangingFolder(over: person.home(place.folder))
            defer { folder.release() }
            let named =
                switch place {
                // The helper is known by its profile, since the program hangs and not a file that is read.
                case .helper: "credential_process"
                // Both files are in the folder that hangs, and this one is read first.
                case .credentials: person.home(Place.config.file)
                default: person.home(place.file)
                }
            try await Self.checkOthers(scene, place, named)
            if place != .config, place != .credentials {
                let other = try await Self.proxy(scene, "keys").result(of: "a dial that needs no such file")
                #expect(other.code == 0, "\(other)")
            }
            folder.release()
            try await eventually("it works again") {
                let result = try await Self.proxy(scene, place.profile).result(of: "a dial after that")
                return result.code == 0
            }
        }
    }

    @Test(
        "a file that is a pipe to which nothing writes is named, and corrected without a restart",
        arguments: Place.allCases.dropLast())
    func pipes(_ place: Place) async throws {
        try await Self.play { scene, person in
            let path = person.home(place.file)
            let content = try #require(contents(of: path))
            unlink(path)
            try #require(mkfifo(path, 0o600) == 0)
            try await Self.checkOthers(scene, place, path)
            unlink(path)
            try person.home.write(place.file, content, mode: 0o600)
            let result = try await Self.proxy(scene, place.profile).result(of: "a dial after that")
            #expect(result.code == 0, "\(result)")
        }
    }

    @Test(
        "a start with a home that hangs says so and serves",
        .enabled(if: HangingFolder.isPossible, "FUSE cannot be used here"))
    func start() async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            try directory.makeDirectory("home")
            let path = try directory.makeDirectory("home/.aws")
            let folder = try HangingFolder(over: path)
            defer { folder.release() }
            let daemon = try await EicedDaemon.start(in: directory)
            let status = try await daemon.eicectl("status")
            #expect(status.code == 0 && status.output.contains("\(path)/config"), "\(status)")
            #expect(daemon.log.contains("\(path)/config"), "\(daemon.log)")
            folder.release()
            try await eventually("the warning is gone") {
                let status = try await daemon.eicectl("status")
                return !status.output.contains("\(path)/config")
            }
        }
    }

    @Test(
        "a reload of a file that hangs fails with its name, and others are answered meanwhile",
        .enabled(if: HangingFolder.isPossible, "FUSE cannot be used here"))
    func reload() async throws {
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start(configuration: "")
            let path = daemon.directory("config/eiced")
            let folder = try HangingFolder(over: path)
            defer { folder.release() }
            let reload = try daemon.startEicectl(["reload"])
            let status = try await daemon.eicectl("status")
            #expect(status.code == 0, "\(status)")
            let result = try await reload.result(of: "reload")
            #expect(result.code == 75 && result.errors.contains("\(path)/config.toml"), "\(result)")
            folder.release()
            try await eventually("it works again") { try await daemon.eicectl("reload").code == 0 }
        }
    }
}
