import Glibc

/// A private sshd on a loopback port, with host key, configuration and the one authorised key in a folder of its own.
/// It runs as whoever runs the tests and lets that user in.
public final class SSHServer: Sendable {
    public let port: UInt16
    /// The private key that it lets in.
    public let identity: String
    /// A known_hosts line's key part: `ssh-ed25519 AAAA…`.
    public let hostKey: String
    /// The user to log in as.
    public let user: String
    private let directory: TemporaryDirectory
    private let process: ChildProcess

    public static func start() async throws -> SSHServer {
        let directory = try TemporaryDirectory("sshd")
        for name in ["host", "client"] {
            let made = try ChildProcess(
                "/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", directory(name)],
                environment: ["PATH": "/usr/bin:/bin"])
            guard try await made.exit() == .code(0) else { throw TestFailure("ssh-keygen: \(made.standardError)") }
        }
        // As root sshd wants its privilege separation folder, which its package's service makes at each boot.
        if geteuid() == 0 { mkdir("/run/sshd", 0o755) }

        // The port is free when it is chosen and may be taken when sshd asks for it: then another one.
        for _ in 0..<10 {
            if let server = try await SSHServer(directory: directory) { return server }
        }
        throw TestFailure("sshd found no free port in ten attempts")
    }

    /// Nil where somebody else took the port in between.
    private init?(directory: TemporaryDirectory) async throws {
        let port = try freePort()
        let configuration = try directory.write(
            "sshd_config",
            """
            ListenAddress 127.0.0.1:\(port)
            HostKey \(directory("host"))
            AuthorizedKeysFile \(directory("client")).pub
            PidFile none
            StrictModes no
            UsePAM no
            UseDNS no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin prohibit-password
            PermitUserRC no
            MaxStartups 500
            Subsystem sftp internal-sftp

            """)
        let process = try ChildProcess(
            "/usr/sbin/sshd", ["-D", "-e", "-f", configuration], environment: ["PATH": "/usr/bin:/bin"],
            diesWithParent: true)
        try await eventually("sshd listens") {
            process.standardError.contains("Server listening") || process.exit != nil
        }
        guard process.exit == nil else {
            if process.standardError.contains("Address already in use") { return nil }
            throw TestFailure("sshd ended: \(process.standardError)")
        }
        guard let key = contents(of: "\(directory("host")).pub"), let account = getpwuid(geteuid()) else {
            throw TestFailure("sshd's host key or the user's account cannot be read")
        }
        self.directory = directory
        self.port = port
        self.process = process
        identity = directory("client")
        hostKey = key.split(separator: " ").prefix(2).joined(separator: " ")
        user = String(cString: account.pointee.pw_name)
    }

    public var log: String { process.standardError }

    /// The options of `ssh` and `scp` that keep them to this server's key and identity and off the user's own files.
    public func clientOptions(hostKeyAlias: String = "instance") throws -> [String] {
        let known = try directory.write("known_hosts", "\(hostKeyAlias) \(hostKey)\n")
        return [
            "-F", "none", "-i", identity,
            "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
            "-o", "UserKnownHostsFile=\(known)", "-o", "GlobalKnownHostsFile=/dev/null",
            "-o", "HostKeyAlias=\(hostKeyAlias)", "-o", "StrictHostKeyChecking=yes", "-o", "User=\(user)",
        ]
    }
}
