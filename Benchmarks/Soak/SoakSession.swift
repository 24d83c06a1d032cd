import Glibc
import SocketIO
import TestSupport

/// Plays the sessions of a lane, each by its way.
struct SoakSession: Sendable {
    let lane: Lane
    let stage: SoakStage
    /// Of the lane's forward, where that has one.
    let port: UInt16?

    func play(_ conversation: Conversation) async throws -> Outcome {
        switch lane.way {
        case .port:
            guard let port else { throw TestFailure("\(lane.name) listens on no port") }
            return try await converse(conversation) { try LoopbackSocket.connect(port: port) }
        case .path:
            let path = stage.path(of: lane)
            return try await converse(conversation) { try LoopbackSocket.connect(path: path) }
        case .proxy: return try await throughProxy(conversation)
        case .ssh: return try await throughSSH(conversation)
        }
    }

    private func converse(
        _ conversation: Conversation, over connect: @escaping @Sendable () throws -> LoopbackSocket
    ) async throws -> Outcome {
        try await onThread {
            let socket: LoopbackSocket
            do {
                socket = try connect()
            } catch {
                return .broken("\(error)")
            }
            defer { socket.close() }
            do {
                return try conversation.play(on: socket).map(Outcome.broken) ?? .whole
            } catch let altered as Altered {
                return .altered(altered.description)
            }
        }
    }

    /// Some megabytes, a byte at a time where a fault wants it so.
    private static let longestSSH = Duration.seconds(120)

    private var options: [String] { ["--idle-timeout", "\(SoakStage.idleTimeout)s"] }

    private func throughProxy(_ conversation: Conversation) async throws -> Outcome {
        let (near, far) = try makeSocketPair()
        let child = try stage.daemon.startEicectl(
            ["proxy", lane.instance, "\(lane.remotePort)", "--stdio"] + options, input: .descriptor(far),
            output: .descriptor(far))
        far.close()
        let outcome = try await converse(conversation) { near }
        let end = await end(of: child, within: .seconds(30))
        guard case .broken(let what) = outcome else { return end.isThere ? outcome : .broken(end.text) }
        return .broken("\(what); eicectl \(end.text): \(child.standardError.prefix(300))")
    }

    /// A program that stays where its tunnel has ended is one of the things that must not happen: it is killed, and told of as
    /// what became of its session.
    private func end(of child: ChildProcess, within limit: Duration) async -> (isThere: Bool, text: String) {
        if let exit = try? await child.exit(within: limit) { return (true, "\(exit)") }
        child.kill()
        return (false, "process \(child.pid) still ran after \(limit)")
    }

    /// A file goes through `cat` at the other end and comes back.
    private func throughSSH(_ conversation: Conversation) async throws -> Outcome {
        let folder = try TemporaryDirectory("soak")
        let sent = Conversation.upward.bytes(0..<conversation.up)
        let path = try folder.write("sent", sent)
        let command = "\(BuiltProducts.eicectl) proxy %h %p \(options.joined(separator: " "))"
        let raw = open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { throw SystemError("open \(path)") }
        let file = FileDescriptor(takingOwnership: raw)
        let child = try ChildProcess(
            "/usr/bin/ssh",
            try stage.ssh.clientOptions() + [
                "-o", "ProxyCommand=\(command)", "-o", "ProxyUseFdpass=yes", lane.instance, "cat",
            ], environment: stage.daemon.environment, input: .descriptor(file))
        let end = await end(of: child, within: Self.longestSSH)
        let got = child.standardOutputBytes
        guard sent.starts(with: got) else { return .altered("ssh brought a byte back that was not sent") }
        if child.exit == .code(0), got.count == sent.count { return .whole }
        return .broken("\(got.count) of \(sent.count) bytes; ssh \(end.text): \(child.standardError.suffix(300))")
    }
}
