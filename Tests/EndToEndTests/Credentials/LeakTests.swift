import Glibc
import SocketIO
import Synchronization
import TestSupport
import Testing

/// What must never leave the daemon, where an endpoint repeats what it was sent, and where the daemon crashes.
@Suite struct LeakTests {
    private static let secret = "plantedSecretThatMustNotBeShown/0123456789"
    private static let token = "plantedTokenThatMustNotBeShown/abcdefghij"

    /// An endpoint may repeat what it was sent, in an error's text and in its headers.
    private func parrot(_ signatures: Signatures) throws -> RogueEndpoint {
        try RogueEndpoint { peer in
            let request = try peer.readRequest()
            let query = request.split(separator: " ").dropFirst().first.map(String.init) ?? ""
            let signature = query.split(separator: "X-Amz-Signature=").last.map(String.init) ?? ""
            signatures.add(signature)
            let body = "{\"ErrorCode\":\"Odd \(Self.token)\",\"Message\":\"you sent \(query)\"}"
            let head = """
                HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nX-Amzn-RequestId: \(signature)\r\n
                """
            try peer.write(Array("\(head)Content-Length: \(body.utf8.count)\r\n\r\n\(body)".utf8))
            try peer.end()
        }
    }

    private func files(below folder: String) throws -> [String] {
        var found: [String] = []
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name == "." || name == ".." { continue }
            var status = stat()
            guard lstat("\(folder)/\(name)", &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                found += try files(below: "\(folder)/\(name)")
            } else if status.st_mode & S_IFMT == S_IFREG {
                found.append("\(folder)/\(name)")
                #expect(status.st_mode & 0o077 == 0, "others may read \(folder)/\(name)")
            }
        }
        return found
    }

    @Test func noSecretLeavesTheDaemonByAnyWay() async throws {
        let signatures = Signatures()
        let rogue = try parrot(signatures)
        var environment = rogue.environment
        environment["AWS_SECRET_ACCESS_KEY"] = Self.secret
        environment["AWS_SESSION_TOKEN"] = Self.token
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start(
                environment: environment, configuration: Scene.table(of: [:]), arguments: ["--log-level", "trace"])
            let added = try await daemon.json(
                ForwardAnswer.self, ["add", RogueEndpoint.address, "22", "--name", "p"] + RogueEndpoint.pinned)
            #expect(added.forwards.count == 1)
            let proxy = try await daemon.proxy()
            #expect(proxy.code != 0)
            var shown: [(String, String)] = [("proxy", proxy.errors + proxy.output)]
            for arguments in [
                ["status"], ["status", "--json"], ["ls", "--json"], ["events"], ["events", "--json"], ["tunnels"],
                ["metrics"], ["endpoints", "--json"],
            ] {
                let result = try await daemon.startEicectl(arguments).result(of: arguments.joined(separator: " "))
                shown.append((arguments.joined(separator: " "), result.output + result.errors))
            }
            shown.append(("the command line", contents(of: "/proc/\(daemon.process.pid)/cmdline") ?? ""))
            // The audit is written when there is time.
            try await eventually("the audit has the tunnel") {
                try self.files(below: daemon.directory.path).contains { $0.hasSuffix("audit.jsonl") }
            }
            for file in try files(below: daemon.directory("state")) { shown.append((file, contents(of: file) ?? "")) }
            shown.append(("the log", daemon.log))
            for (what, text) in shown {
                #expect(!text.isEmpty || what == "tunnels" || what.hasSuffix(".lock"), "\(what) was empty")
                // What a presigned URL is worth is its signature.
                for secret in [Self.secret, Self.token] + signatures.all {
                    #expect(!text.contains(secret), "\(what) shows a secret")
                    #expect(!text.contains(secret.replacing("/", with: "%2F")), "\(what) shows a secret")
                }
            }
            #expect(shown.contains { $0.1.contains("you sent") }, "the endpoint's words are shown, without the secrets")
            #expect(signatures.all.first?.utf8.count == 64)
        }
    }

    /// A program that dies of a signal, by the kernel's own word on whether it left a core file.
    private func leavesCore(_ command: String) async throws -> Bool {
        let folder = try TemporaryDirectory()
        // `wait` gives 134 either way; perl has the flag (WCOREDUMP).
        let script = """
            ulimit -c unlimited 2>/dev/null; cd \(folder.path); exec perl -e '
            my $pid = fork; if (!$pid) { exec("/bin/sh", "-c", $ARGV[0]) or die }
            my $n = 0; until (-e "ready" || -e "run/eiced/control.sock" || $n++ > 3000) { select undef, undef, undef, 0.01 }
            kill "ABRT", $pid; waitpid $pid, 0; print $? & 128 ? "core" : "none", " ", $? & 127;' "$0"
            """
        var environment = try EicedDaemon.environment(in: folder)
        environment["PATH"] = "/usr/bin:/bin"
        let child = try ChildProcess(
            "/bin/sh", ["-c", script, command], environment: environment, diesWithParent: true)
        guard try await child.exit() == .code(0) else { throw TestFailure(child.standardError) }
        guard child.standardOutput.hasSuffix(" 6") else {
            throw TestFailure("it did not die of SIGABRT: \(child.standardOutput) \(child.standardError)")
        }
        return child.standardOutput.hasPrefix("core")
    }

    private static let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]

    private static func asNobody(_ command: String...) async throws -> CommandResult {
        try await ChildProcess.run("/usr/bin/setpriv", nobody + command)
    }

    private static var canBeNobody: Bool {
        get async throws {
            geteuid() == 0 ? try await asNobody("/usr/bin/test", "-x", BuiltProducts.eiced).code == 0 : false
        }
    }

    /// Not even a program of its own user.
    @Test(.enabled("needs root, and a build that others can read") { try await canBeNobody })
    func noOtherProgramMayLookIntoIt() async throws {
        let folder = try TemporaryDirectory()
        try folder.makeDirectory("run")
        for path in [folder.path, folder("run")] { #expect(chown(path, 65_534, 65_534) == 0) }
        let environment = ["HOME": folder.path, "XDG_RUNTIME_DIR": folder("run"), "PATH": "/usr/bin:/bin"]
        let daemon = try ChildProcess(
            "/usr/bin/setpriv", Self.nobody + [BuiltProducts.eiced], environment: environment, diesWithParent: true)
        try await eventually("it listens") { access(folder("run/eiced/control.sock"), F_OK) == 0 }
        let other = try ChildProcess("/usr/bin/setpriv", Self.nobody + ["/usr/bin/sleep", "600"], diesWithParent: true)
        try await eventually("it sleeps") {
            try await Self.asNobody("/usr/bin/readlink", "/proc/\(other.pid)/exe").output.hasSuffix("/sleep\n")
        }
        let look = try await Self.asNobody("/usr/bin/readlink", "/proc/\(daemon.pid)/exe")
        #expect(look.code != 0 && look.output.isEmpty, "\(look)")
        var status = stat()
        #expect(stat("/proc/\(daemon.pid)/mem", &status) == 0 && status.st_uid == 0)
        for process in [daemon, other] { process.kill() }
    }

    @Test func aCrashLeavesNoCoreFile() async throws {
        // Without this the test would pass wherever core files are switched off.
        guard try await leavesCore("touch ready; exec sleep 60") else {
            print("skipped: this machine makes no core files of anything")
            return
        }
        #expect(try await !leavesCore("exec \(BuiltProducts.eiced)"))
    }
}

/// The signatures that an endpoint was sent.
private final class Signatures: Sendable {
    private let seen = Mutex<[String]>([])
    var all: [String] { seen.withLock { $0 } }
    func add(_ signature: String) { seen.withLock { $0.append(signature) } }
}

private struct ForwardAnswer: Decodable {
    struct Forward: Decodable { var name: String }
    var forwards: [Forward]
}
