import ControlProtocol
import FoundationEssentials
import Glibc
import TestSupport
import Testing

private let packagePath = getenv("EICED_TEST_PACKAGE").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }

/// What `make install` and the package bring.
@Suite struct InstallTests {
    @Test func everythingIsBelowThePrefixAndNamesIt() async throws {
        let folder = try TemporaryDirectory()
        let result = try await ChildProcess.run(
            "\(Repository.root)/scripts/install.sh",
            [BuiltProducts.eiced, BuiltProducts.eicectl, BuiltProducts.emulator, "/opt/tools", folder("root")])
        #expect(result.code == 0, "\(result)")
        let found = try await ChildProcess.run("/usr/bin/find", [folder("root"), "-type", "f", "-printf", "%P\n"])
        let files = Set(found.output.split(separator: "\n").map(String.init))
        #expect(files.allSatisfy { $0.hasPrefix("opt/tools/") }, "\(files)")
        for file in [
            "bin/eiced", "bin/eicectl", "bin/eice-emulator", "libexec/eiced/eicectl-commands",
            "lib/systemd/user/eiced.service",
            "lib/systemd/user/eiced.socket", "share/man/man1/eicectl.1.gz", "share/man/man1/eiced.1.gz",
            "share/man/man1/eice-emulator.1.gz", "share/man/man5/eiced-config.toml.5.gz",
            "share/bash-completion/completions/eicectl", "share/zsh/site-functions/_eicectl",
            "share/fish/vendor_completions.d/eicectl.fish", "share/doc/eiced/examples/config.toml",
            "share/doc/eiced/docs/operations.md",
        ] {
            #expect(files.contains("opt/tools/\(file)"), "\(file)")
        }
        // Whatever stands in systemd/ is installed: drop-ins, too.
        let units = try await ChildProcess.run(
            "/usr/bin/find", ["\(Repository.root)/systemd", "-type", "f", "!", "-name", "*.catalog", "-printf", "%P\n"])
        for unit in units.output.split(separator: "\n") {
            let text = try #require(contents(of: folder("root/opt/tools/lib/systemd/user/\(unit)")), "\(unit)")
            #expect(!text.contains("=/usr/bin/"), "\(text)")
        }
        let version = try await ChildProcess.run(folder("root/opt/tools/bin/eicectl"), ["--version"])
        #expect(version.output == "\(EICEDVersion.current)\n", "\(version)")
        // The release stands in one place, which scripts read as well.
        let script = try await ChildProcess.run("\(Repository.root)/scripts/version.sh")
        #expect(script.output == version.output, "\(script)")
    }

    @Test func eicectlWithoutWhatBelongsToItSaysWhatIsMissing() async throws {
        let folder = try TemporaryDirectory()
        let bin = try folder.makeDirectory("bin")
        let copied = try await ChildProcess.run("/usr/bin/cp", [BuiltProducts.eicectl, bin])
        #expect(copied.code == 0, "\(copied)")
        let result = try await ChildProcess.run("\(bin)/eicectl", ["status"])
        #expect(result.code == 70 && result.output.isEmpty, "\(result)")
        #expect(
            result.errors.hasPrefix("eicectl: error: cannot run \(bin)/eicectl-commands: no such file"), "\(result)")
        #expect(result.errors.contains("eicectl: hint: it belongs to eicectl"), "\(result)")
    }

    @Test func eicectlFindsWhatBelongsToItByALinkAndInAFolderThatIsNotUTF8() async throws {
        let folder = try TemporaryDirectory()
        let script = #"""
            place="$1/andr$(printf '\351')"
            mkdir -p "$place/bin" "$place/libexec/eiced" "$1/links"
            cp "$2" "$place/bin/eicectl"
            cp "$3" "$place/libexec/eiced/eicectl-commands"
            ln -s "$place/bin/eicectl" "$1/links/tunnels"
            "$1/links/tunnels" --version
            """#
        let result = try await ChildProcess.run(
            "/bin/sh", ["-ec", script, "sh", folder.path, BuiltProducts.eicectl, BuiltProducts.eicectlCommands])
        #expect(result.code == 0 && result.output == "\(EICEDVersion.current)\n", "\(result)")
    }

    @Test func whatIsNotBuiltIsNotInstalled() async throws {
        let folder = try TemporaryDirectory()
        let result = try await ChildProcess.run(
            "\(Repository.root)/scripts/install.sh",
            [folder("eiced"), BuiltProducts.eicectl, BuiltProducts.emulator, "/usr", folder("root")])
        #expect(result.code == 1 && result.errors.contains("hint: make build"), "\(result)")
        #expect(access(folder("root"), F_OK) != 0)
    }
}

/// A clean Debian 12. The original is made once and kept beside what is built; each test has a copy.
private struct DebianRoot {
    let directory: TemporaryDirectory
    var path: String { directory("root") }

    private static let original = "\(Repository.root)/.build/debian-root"

    /// Whether there is an original now. What is neither "made" nor "not here" is a mistake of ours.
    private static let isThere = Task { () throws -> Bool in
        let made = try await ChildProcess.run(
            "\(Repository.root)/scripts/debian-root.sh", [original], environment: environment, within: .seconds(600))
        guard made.code == 0 || made.code == 77 else { throw TestFailure(made.description) }
        return made.code == 0
    }

    static var canBeMade: Bool { get async throws { try await isThere.value } }

    static let environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"]

    /// One of its own, for a test that changes it.
    static func copy() async throws -> DebianRoot {
        let copy = DebianRoot(directory: try TemporaryDirectory("debian"))
        try await succeed("/bin/cp", ["-a", original, copy.path])
        return copy
    }

    func put(_ file: String, at path: String) async throws {
        try await Self.succeed("/bin/cp", [file, self.path + path])
    }

    func install(_ packages: [String]) async throws {
        try await run(["apt-get", "install", "-y", "-q", "--no-install-recommends"] + packages)
    }

    private static func succeed(_ program: String, _ arguments: [String]) async throws {
        let result = try await ChildProcess.run(program, arguments)
        guard result.code == 0 else { throw TestFailure(result.description) }
    }

    @discardableResult
    func run(_ command: String...) async throws -> String { try await run(command) }

    @discardableResult
    private func run(_ command: [String]) async throws -> String {
        // With a /proc of its own, which goes with the command.
        let script = #"mount -t proc proc "$0/proc" && exec chroot "$0" "$@""#
        let result = try await ChildProcess.run(
            "/usr/bin/unshare", ["--mount", "--pid", "--fork", "sh", "-c", script, path] + command,
            environment: Self.environment, within: .seconds(300))
        guard result.code == 0 else { throw TestFailure(result.description) }
        return result.output
    }

    /// All files but what apt and dpkg remember, and what a start of systemd's leaves.
    func files() async throws -> Set<String> {
        let found = try await run(
            "find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/var/cache", "-o", "-path", "/var/lib/apt",
            "-o", "-path", "/var/lib/dpkg", "-o", "-path", "/var/log", "-o", "-path", "/tmp", ")", "-prune", "-o",
            "-print")
        return Set(found.split(separator: "\n").map(String.init))
    }
}

/// The Debian package, which `make deb` builds and `make test` names in `EICED_TEST_PACKAGE`.
@Suite(.enabled(if: packagePath != nil, "no package was built: make deb"))
struct PackageTests {
    @Test(.enabled("no clean Debian 12 can be made on this machine") { try await DebianRoot.canBeMade })
    func itInstallsAndLeavesNothingWhenItGoes() async throws {
        let root = try await DebianRoot.copy()
        try await root.put(try #require(packagePath), at: "/tmp/eiced.deb")
        // What it depends on stays, as with any package; so that comes first.
        let depends = try await root.run("dpkg-deb", "-f", "/tmp/eiced.deb", "Depends")
        let names = depends.split(separator: ",").compactMap { $0.split(whereSeparator: \.isWhitespace).first }
        try await root.install(names.map(String.init))
        let before = try await root.files()

        try await root.install(["/tmp/eiced.deb"])
        let version = try await root.run("eicectl", "version")
        #expect(version.contains("eicectl \(EICEDVersion.current)"), "\(version)")
        #expect(try await root.run("eiced", "--check").contains("good"))
        let verified = try await root.run(
            "sh", "-c", "XDG_RUNTIME_DIR=/tmp systemd-analyze --user --man=no verify eiced.service eiced.socket 2>&1")
        #expect(verified == "")
        // What the units name as their documentation is installed.
        for page in ["man1/eiced.1.gz", "man1/eicectl.1.gz", "man5/eiced-config.toml.5.gz"] {
            _ = try await root.run("gzip", "-t", "/usr/share/man/\(page)")
        }
        try await root.run("sh", "-c", "cd / && md5sum -c --quiet /var/lib/dpkg/info/eiced.md5sums")
        #expect(try await root.files() != before)

        try await root.run("apt-get", "remove", "-y", "-q", "eiced")
        let left = try await root.files().subtracting(before)
        #expect(left.isEmpty, "\(left)")
        #expect(try await root.run("sh", "-c", "dpkg-query -W eiced 2>/dev/null || true") == "")
    }

    /// As the manual says: the two units enabled, then `eicectl add`.
    @Test(
        .enabled("no clean Debian 12, or no box to boot it in, can be made on this machine") {
            guard try await SystemdBox.canBeMade else { return false }
            return try await DebianRoot.canBeMade
        })
    func enabledInACleanSystemItServes() async throws {
        let root = try await DebianRoot.copy()
        try await root.put(try #require(packagePath), at: "/tmp/eiced.deb")
        try await root.install(["/tmp/eiced.deb"])
        let echo = try LoopbackServer.echo()
        try await SystemdBox.play(port: echo.port, root: root.path) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22")
            let client = try await box.connect(forward)
            try await expectEcho(on: client)
            client.close()
            let status = try await box.json(StatusResult.self, "status")
            #expect(status.version == EICEDVersion.current)
            let program = try await box.run(.alice, "readlink", "/proc/\(status.pid)/exe")
            #expect(program.output == "/usr/bin/eiced\n", "\(program)")
        }
    }

    @Test func itsProgramsAreHardened() async throws {
        let folder = try TemporaryDirectory()
        let unpacked = try await ChildProcess.run("/usr/bin/dpkg-deb", ["-x", try #require(packagePath), folder.path])
        #expect(unpacked.code == 0, "\(unpacked)")
        let programs = ["bin/eiced", "bin/eicectl", "bin/eice-emulator", "libexec/eiced/eicectl-commands"]
            .map { folder("usr/\($0)") }
        let result = try await ChildProcess.run("\(Repository.root)/scripts/hardening.sh", ["--stripped"] + programs)
        #expect(result.code == 0 && result.errors.isEmpty, "\(result)")
    }

    @Test(.enabled(if: access("/usr/bin/lintian", X_OK) == 0, "lintian is not installed here"))
    func lintianHasNoObjections() async throws {
        let package = try #require(packagePath)
        let lint = try await ChildProcess.run(
            "/usr/bin/lintian", ["--allow-root", "--no-tag-display-limit", "--fail-on", "error,warning", package],
            environment: ["PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"], within: .seconds(300))
        #expect(lint.code == 0 && lint.output.isEmpty, "\(lint)")
    }
}
