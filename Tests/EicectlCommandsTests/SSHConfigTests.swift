import ControlProtocol
import Failures
import Glibc
import TestSupport
import Testing

@testable import EicectlCommands

@Suite struct SSHConfigTests {
    static func forward(
        _ name: String, _ target: String, port: UInt16 = 22, _ addresses: [String],
        state: ForwardInfo.State = .listening
    ) -> ForwardInfo {
        ForwardInfo(
            name: name, target: target, remotePort: port, addresses: addresses, state: state, maxDuration: 3600)
    }

    // MARK: The text

    @Test func withoutForwardsItIsTheTwoPatterns() {
        #expect(
            SSHConfigText(forwards: [], program: "eicectl").block == """
                Host \(SSHConfigText.patterns.joined(separator: " "))
                    ProxyCommand eicectl proxy %h %p
                    ProxyUseFdpass yes

                """)
    }

    @Test(
        "ssh takes a target of each form through an endpoint, and other hosts not",
        arguments: [
            ("i-0123456789abcdef0", true), ("I-0123456789ABCDEF0", true), ("web-1.eice", true), ("WEB-1.EICE", true),
            ("web-1.eice.", true), ("i-0123456789abcdef0.eu-west-1.compute.internal", true),
            ("i-0123456789abcdef0.ec2.internal.", true), ("ip-10-0-1-5.eu-west-1.compute.internal", true),
            ("ip-10-0-1-5.eu-west-1.compute.internal.", true), ("ip-10-0-1-5.ec2.internal", true),
            ("ip-10-0-1-5.ec2.internal.", true), ("web-1", false), ("ip-10-0-1-5", false), ("db.corp.internal", false),
            ("ip-10-0-1-5.internal", false), ("web.forward", false),
        ])
    func hostsOfSSH(host: String, isOurs: Bool) async throws {
        let folder = try TemporaryDirectory()
        let config = try folder.write("config", SSHConfigText(forwards: [], program: "eicectl").block)
        let ssh = try await ChildProcess.run("/usr/bin/ssh", ["-G", "-F", config, host])
        #expect(ssh.output.contains("proxycommand eicectl proxy") == isOurs, "\(ssh)")
    }

    @Test func aForwardIsAHostWithTheNameOfItsInstanceForTheKey() {
        let text = SSHConfigText(
            forwards: [
                Self.forward("web", "i-0123456789ABCDEF0", ["127.0.0.1:2222", "[::1]:2222"]),
                Self.forward("by-name", "web-1", ["[::1]:2223"]),
                Self.forward("open", "10.0.1.5", ["0.0.0.0:2224"]),
            ], program: "eicectl")
        #expect(
            text.block.hasPrefix(
                """
                Host web.forward
                    HostName 127.0.0.1
                    Port 2222
                    HostKeyAlias i-0123456789abcdef0
                    ProxyCommand none
                Host by-name.forward
                    HostName ::1
                    Port 2223
                    HostKeyAlias by-name.forward
                    ProxyCommand none
                Host open.forward
                    HostName 127.0.0.1
                    Port 2224
                    HostKeyAlias open.forward
                    ProxyCommand none
                Host \(SSHConfigText.patterns.joined(separator: " "))

                """), "\(text.block)")
    }

    @Test func whatSSHCannotReachIsLeftOut() {
        let text = SSHConfigText(
            forwards: [
                Self.forward("rdp", "web", port: 3389, ["127.0.0.1:1"]), Self.forward("unix", "web", ["/run/a:1"]),
                Self.forward("failed", "web", [], state: .failed),
            ], program: "eicectl")
        #expect(text.hosts.isEmpty)
    }

    @Test(arguments: [
        ("/usr/local/bin/eicectl", nil, "/usr/local/bin/eicectl proxy %h %p"),
        ("/home/a b/it's/eicectl", nil, #"'/home/a b/it'\''s/eicectl' proxy %h %p"#),
        ("/opt/100%/eicectl", nil, "/opt/100%%/eicectl proxy %h %p"),
        ("eicectl", "/run/a b/s", "eicectl proxy %h %p --socket '/run/a b/s'"),
    ]) func whatTheShellWouldTakeApartIsQuoted(_ program: String, _ socket: String?, _ command: String) {
        let block = SSHConfigText(forwards: [], program: program, socket: socket).block
        #expect(block.contains("    ProxyCommand \(command)\n"), "\(block)")
    }

    // MARK: The Include line

    static let include = SSHConfigInclude(home: "/home/ann", name: "eiced.conf")

    @Test(arguments: [
        "Include eiced.conf", "include=eiced.conf", "INCLUDE = \"eiced.conf\"", "Include\teiced.conf # ours",
        "Include ~/.ssh/eiced.conf", "Include other /home/ann/.ssh/eiced.conf", "Include \"a b\" *.conf",
        "User ann\n  Include eiced.conf\nHost x", "# Host x\nInclude eiced.conf",
    ]) func aFileThatIsIncludedIsNotIncludedAgain(_ text: String) {
        #expect(Self.include.added(to: Array(text.utf8)) == nil)
    }

    @Test(arguments: [
        "", "Host *\n    User ann", "Host x\n  Include eiced.conf\n", "Match all\nInclude eiced.conf",
        "#Include eiced.conf\n", "Include other.conf eiced.conf.old\n", "Include\n", "Include # eiced.conf\n",
        "IncludeX eiced.conf\r\n", "Include */eiced.conf", "\u{FF}not utf-8",
    ]) func theLineComesFirstAndNothingElseChanges(_ text: String) throws {
        let new = try #require(Self.include.added(to: Array(text.utf8)))
        #expect(
            String(decoding: new, as: UTF8.self)
                == "# Added by eicectl ssh-config --install\nInclude ~/.ssh/eiced.conf\n\n" + text)
        #expect(Self.include.added(to: new) == nil)
    }

    // MARK: On the disk

    struct Home {
        let directory: TemporaryDirectory
        var ssh: String { directory(".ssh") }

        init() throws {
            directory = try TemporaryDirectory()
        }

        @discardableResult
        func install(_ forwards: [ForwardInfo] = []) throws -> SSHConfigCommand.Installed {
            try SSHConfigCommand.install(
                SSHConfigText(forwards: forwards, program: "eicectl"), home: directory.path + "/")
        }

        func mode(_ name: String) -> mode_t? {
            var status = stat()
            return lstat(directory(name), &status) == 0 ? status.st_mode : nil
        }
    }

    @Test func itInstallsOnceAndAgainChangesNothing() throws {
        let home = try Home()
        let first = try home.install()
        #expect(first.changed)
        #expect(home.mode(".ssh") == S_IFDIR | 0o700)
        #expect(home.mode(".ssh/config") == S_IFREG | 0o600)
        #expect(home.mode(".ssh/eiced.conf") == S_IFREG | 0o600)
        let config = contents(of: first.config)
        #expect(config == "# Added by eicectl ssh-config --install\nInclude ~/.ssh/eiced.conf\n\n")
        #expect(try !home.install().changed)
        #expect(contents(of: first.config) == config)

        // A forward more: our file alone is another.
        #expect(try home.install([Self.forward("web", "web", ["127.0.0.1:2222"])]).changed)
        #expect(contents(of: first.config) == config)
        #expect(contents(of: first.file)?.contains("Host web.forward\n") == true)
    }

    @Test func theUsersTextLinksAndPermissionsStay() throws {
        let home = try Home()
        try home.directory.makeDirectory("dotfiles")
        let text = "Host old\r\n  User ann\n# no newline at the end"
        let real = try home.directory.write("dotfiles/ssh", text, mode: 0o644)
        try home.directory.makeDirectory(".ssh", mode: 0o755)
        #expect(symlink("../dotfiles/ssh", home.directory(".ssh/config")) == 0)
        try home.install()
        #expect(home.mode(".ssh/config").map { $0 & S_IFMT } == S_IFLNK)
        #expect(home.mode("dotfiles/ssh") == S_IFREG | 0o644)
        #expect(home.mode(".ssh") == S_IFDIR | 0o755)
        #expect(contents(of: real)?.hasSuffix("\n\n" + text) == true)
        #expect(try names(in: home.directory("dotfiles")) == ["ssh"])
        #expect(try names(in: home.ssh) == ["config", "eiced.conf"])
    }

    /// Bad input changes nothing.
    @Test func whatIsNotOursIsLeftAlone() throws {
        let home = try Home()
        try home.directory.makeDirectory(".ssh")
        try home.directory.write(".ssh/eiced.conf", "Host mine\n")
        #expect { try home.install() } throws: {
            ($0 as? Failure)?.kind == .stateNotSaved && "\($0)".contains("was not written by eicectl")
        }
        #expect(contents(of: home.directory(".ssh/eiced.conf")) == "Host mine\n")
        #expect(home.mode(".ssh/config") == nil)
    }

    @Test func aLinkToNothingAndAFolderAreErrors() throws {
        let home = try Home()
        try home.directory.makeDirectory(".ssh")
        #expect(symlink("nowhere", home.directory(".ssh/config")) == 0)
        #expect { try home.install() } throws: { "\($0)".contains("follow the link") }
        #expect(home.mode(".ssh/nowhere") == nil)
        #expect(unlink(home.directory(".ssh/config")) == 0)
        try home.directory.makeDirectory(".ssh/config")
        #expect { try home.install() } throws: { "\($0)".contains("is a directory") }
    }

    private func names(in folder: String) throws -> [String] {
        guard let handle = opendir(folder) else { throw TestFailure("opendir \(folder)") }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
