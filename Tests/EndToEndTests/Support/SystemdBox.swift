import ControlProtocol
import FoundationEssentials
import Glibc
import TestSupport

/// Boxes that run at once: each boots a system.
private let stage = Turnstile(2)

/// eiced as a service of a real user manager, in a box of `scripts/systemd-box.sh`, with the units of this repository. The
/// emulator and the tests stand outside, on the same network.
struct SystemdBox: Sendable {
    /// Who the daemon belongs to, and somebody else. As in the script.
    enum User: String { case alice, mallory, root }

    static let aliceID: uid_t = 5801

    let emulator: Emulator
    private let directory: TemporaryDirectory
    private let process: ChildProcess

    private static var script: String { "\(Repository.root)/scripts/systemd-box.sh" }

    /// Why this machine can have no box; nil where it can. Boots one to find out.
    static let obstacle = Task { () throws -> String? in
        let directory = try TemporaryDirectory("box")
        let process = try ChildProcess(
            "/bin/bash", [script, "run", directory.path], environment: ["PATH": path], diesWithParent: true)
        try await eventually("a box is up", within: .seconds(60)) {
            process.exit != nil || process.standardOutput.contains("up\n")
        }
        let obstacle = process.exit.map { "\($0): \(process.standardError)" }
        // What is neither "up" nor "not here" is a mistake of ours, which the tests then find.
        let isImpossible = process.exit == .code(77)
        process.signal(SIGTERM)
        _ = try await process.exit()
        return isImpossible ? obstacle : nil
    }

    static var canBeMade: Bool {
        get async throws { try await obstacle.value == nil }
    }

    private static let path = "/usr/sbin:/usr/bin:/sbin:/bin"

    // MARK: Booting

    /// Boots a box, plays `body` in it, and takes it down.
    ///
    /// - Parameters:
    ///   - port: where port 22 of ``Scene/web`` leads.
    ///   - emulator: further arguments of the emulator.
    ///   - configuration: tables of alice's config.toml.
    ///   - timeouts: changes to ``Scene/timeouts``.
    ///   - service: further lines of the service's `[Service]`.
    ///   - files: further files, by path in the box.
    ///   - filesFor: the same, for those that depend on the emulator.
    ///   - root: a folder with a system that has the package installed; nil for this machine's with what was built.
    static func play(
        port: UInt16 = 1, emulator options: [String] = [], configuration: String = "",
        timeouts: [String: String] = [:], service: String = "", files: [String: String] = [:],
        filesFor: (Emulator) -> [String: String] = { _ in [:] }, root: String? = nil,
        _ body: @Sendable (SystemdBox) async throws -> Void
    ) async throws {
        try await stage.pass {
            let emulator = try await Emulator.start(inventory: Scene.inventory(port: port), options: options)
            let box = try await SystemdBox(
                emulator: emulator, configuration: Scene.table(of: timeouts) + configuration, service: service,
                files: files.merging(filesFor(emulator)) { $1 }, root: root)
            do {
                try await body(box)
            } catch {
                let journal = try await box.run(
                    .alice, "journalctl", "--user", "-b", "--no-pager", "-o", "short-precise")
                throw TestFailure("\(error)\n--- journal\n\(journal.output)\n--- emulator\n\(emulator.log)")
            }
            try await box.end()
        }
    }

    private init(
        emulator: Emulator, configuration: String, service: String, files: [String: String], root: String?
    ) async throws {
        self.emulator = emulator
        directory = try TemporaryDirectory("box")
        let tree = FileTree(root: try directory.makeDirectory("files", mode: 0o755))
        if root == nil {
            for (program, place) in [
                (BuiltProducts.eiced, "bin/eiced"), (BuiltProducts.eicectl, "bin/eicectl"),
                (BuiltProducts.eicectlCommands, "libexec/eiced/eicectl-commands"),
            ] {
                try tree.copy(program, to: "/usr/\(place)", mode: 0o755)
            }
            let units = "/usr/lib/systemd/user"
            for unit in ["eiced.service", "eiced.socket", "eiced.service.d/sandbox.conf"] {
                try tree.copy("\(Repository.root)/systemd/\(unit)", to: "\(units)/\(unit)")
            }
        }
        // A certificate that the emulator made and a folder that the box does not see.
        var variables = emulator.environment
        if let bundle = variables["AWS_CA_BUNDLE"] {
            try tree.copy(bundle, to: "/etc/emulator.pem")
            variables["AWS_CA_BUNDLE"] = "/etc/emulator.pem"
        }
        // The box cannot write where the reports are.
        variables.merge(Sanitizer.sandboxedEnvironment) { $1 }
        let lines = variables.sorted { $0.key < $1.key }.map { "Environment=\"\($0.key)=\($0.value)\"\n" }
        try tree.write(
            "[Service]\n\(lines.joined())\(service)\n", to: "/etc/systemd/user/eiced.service.d/emulator.conf")
        try tree.write(configuration, to: "/home/alice/.config/eiced/config.toml")
        for (path, text) in files { try tree.write(text, to: path) }
        process = try ChildProcess(
            "/bin/bash", [Self.script, "run", directory.path],
            environment: ["PATH": Self.path].merging(root.map { ["EICED_BOX_ROOT": $0] } ?? [:]) { $1 },
            diesWithParent: true)
        try await eventually("the box is up", within: .seconds(60)) { [process] in
            if let exit = process.exit { throw TestFailure("the box ended: \(exit) \(process.standardError)") }
            return process.standardOutput.contains("up\n")
        }
    }

    private func end() async throws {
        if Sanitizer.current != nil {
            let journal = try await run(.root, "journalctl", "-b", "--no-pager", "-o", "cat")
            if Sanitizer.reports(in: journal.output) { throw TestFailure(journal.output) }
        }
        process.signal(SIGTERM)
        _ = try await process.exit(within: .seconds(60))
    }

    // MARK: The daemon and its clients

    /// As the manual says.
    func start() async throws { try await systemctl("enable", "--now", "eiced.socket", "eiced.service") }

    /// Connects through a forward, as alice.
    func connect(_ forward: ForwardInfo) async throws -> LoopbackSocket {
        let port = try forward.port
        return try await onThread { try LoopbackSocket.connect(port: port, owner: Self.aliceID) }
    }

    // MARK: Commands

    /// Runs a command in the box to its end.
    @discardableResult
    func run(_ user: User, _ command: [String], within limit: Duration = .seconds(60)) async throws -> CommandResult {
        try await ChildProcess.run(
            "/bin/bash", [Self.script, "in", directory.path, user.rawValue] + command,
            environment: ["PATH": Self.path], within: limit)
    }

    @discardableResult
    func run(_ user: User, _ command: String...) async throws -> CommandResult { try await run(user, command) }

    /// Runs a command in the box that must succeed, and returns what it printed.
    @discardableResult
    func alice(_ command: String...) async throws -> String { try await succeed(.alice, command) }

    /// `systemctl --user …` as alice.
    @discardableResult
    func systemctl(_ arguments: String...) async throws -> String {
        try await succeed(.alice, ["systemctl", "--user"] + arguments)
    }

    @discardableResult
    func eicectl(_ arguments: String...) async throws -> String { try await succeed(.alice, ["eicectl"] + arguments) }

    private func succeed(_ user: User, _ command: [String]) async throws -> String {
        let result = try await run(user, command)
        guard result.code == 0 else { throw TestFailure("\(command): \(result)") }
        return result.output
    }

    /// A property of the service, as the user manager has it.
    func property(_ name: String) async throws -> String {
        let text = try await systemctl("show", "--value", "-p", name, "eiced.service")
        return text.split(separator: "\n").first.map(String.init) ?? ""
    }

    /// The service's main process, as the box numbers it; 0 without one.
    func mainProcess() async throws -> Int { Int(try await property("MainPID")) ?? 0 }

    /// Replaces a file of alice's.
    func write(_ text: String, to path: String) async throws {
        _ = try await succeed(.alice, ["sh", "-c", #"printf %s "$1" > "$2""#, "-", text, path])
    }

    /// Sends a signal to a process of the box.
    func kill(_ signal: String, _ process: Int) async throws {
        _ = try await succeed(.root, ["kill", "-\(signal)", "\(process)"])
    }

    func json<Answer: Decodable>(_ type: Answer.Type, _ arguments: String...) async throws -> Answer {
        let text = try await succeed(.alice, ["eicectl"] + arguments + ["--json"])
        return try JSONDecoder().decode(type, from: Data(text.utf8))
    }

    /// Adds a forward and returns it.
    @discardableResult
    func add(_ arguments: String...) async throws -> ForwardInfo {
        let text = try await succeed(.alice, ["eicectl", "add"] + arguments + ["--json"])
        let result = try JSONDecoder().decode(ForwardListResult.self, from: Data(text.utf8))
        guard let first = result.forwards.first else { throw TestFailure("nothing was added: \(arguments)") }
        return first
    }

    /// Entries of alice's journal for the service that match, each as its fields.
    func journal(_ matches: String...) async throws -> [[String: String]] {
        let text = try await succeed(
            .alice,
            ["journalctl", "--user", "-b", "--no-pager", "-o", "json", "_SYSTEMD_USER_UNIT=eiced.service"] + matches)
        return text.split(separator: "\n").compactMap {
            try? JSONDecoder().decode([String: String].self, from: Data($0.utf8))
        }
    }
}

/// Files that are copied over a box's root. Those of a home belong to its user.
private struct FileTree {
    let root: String

    func copy(_ source: String, to path: String, mode: mode_t = 0o644) throws {
        let from = open(source, O_RDONLY | O_CLOEXEC)
        guard from >= 0 else { throw TestFailure("cannot open \(source): errno \(errno)") }
        defer { close(from) }
        let file = try create(path, mode: mode)
        defer { close(file) }
        var count = 1
        while count > 0 { count = sendfile(file, from, nil, 1 << 30) }
        guard count == 0 else { throw TestFailure("cannot copy \(source): errno \(errno)") }
    }

    func write(_ text: String, to path: String) throws {
        let file = try create(path, mode: 0o644)
        defer { close(file) }
        let bytes = Array(text.utf8)
        guard Glibc.write(file, bytes, bytes.count) == bytes.count else {
            throw TestFailure("cannot write \(path): errno \(errno)")
        }
    }

    private func create(_ path: String, mode: mode_t) throws -> CInt {
        var folder = root
        for part in path.split(separator: "/").dropLast() {
            folder += "/\(part)"
            mkdir(folder, 0o755)
        }
        let file = open(root + path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard file >= 0 else { throw TestFailure("cannot create \(path): errno \(errno)") }
        return file
    }
}
