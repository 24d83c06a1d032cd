import ControlProtocol
import Failures
import FoundationEssentials
import Glibc
import Logging
import Synchronization
import TestSupport
import Testing
import Tunnels

@testable import Daemon

@Suite struct AuditTests {
    let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    private func line(_ text: String) -> [UInt8] { Array("\(text)\n".utf8) }

    private func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: folder(name))), as: UTF8.self)
    }

    private func record(_ id: UInt64 = 1) throws -> AuditRecord {
        AuditRecord(
            try MetricsTests.ended(.localClosed, id: id, up: 3, down: 4), at: .now(), now: .now, daemon: 42)
    }

    @Test func aLineHasAllThatIsKnownAndNothingElse() throws {
        let line = try JSONEncoder().encode(try record())
        let fields = try JSONDecoder().decode([String: AnyField].self, from: line)
        #expect(
            Set(fields.keys) == [
                "start", "end", "seconds", "daemon", "tunnel", "client", "forward", "target", "remotePort", "profile",
                "bytesLocalToRemote", "bytesRemoteToLocal", "reason", "sentence",
            ])
        #expect(!line.contains(UInt8(ascii: "\n")), "a process may be called as it likes")
        let back = try JSONDecoder().decode(AuditRecord.self, from: line)
        #expect(back.client.command == "ss\"h\n" && back.client.uid == 1000)
        #expect(back.reason == "local-closed" && back.tunnel == "t1")
    }

    @Test func folderAndFileAreOnesOwn() throws {
        let file = AuditFile(folder: folder("state/eiced"))
        #expect(file.append([line("a")]) == (1, nil))
        var status = stat()
        #expect(stat(folder("state/eiced"), &status) == 0 && status.st_mode & 0o777 == 0o700)
        #expect(stat(file.path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        chmod(file.path, 0o644)
        #expect(file.append([line("b")]) == (1, nil))
        #expect(stat(file.path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        #expect(try text("state/eiced/audit.jsonl") == "a\nb\n")
    }

    @Test func aFullFileIsSetAsideAndTheOldestGoes() throws {
        let file = AuditFile(folder: folder.path, limit: 8, count: 3)
        for number in 1...4 { #expect(file.append([line("\(number)aa"), line("\(number)bb")]) == (2, nil)) }
        #expect(try text("audit.jsonl") == "4aa\n4bb\n")
        #expect(try text("audit.jsonl.1") == "3aa\n3bb\n")
        #expect(try text("audit.jsonl.2") == "2aa\n2bb\n")
        #expect(access(folder("audit.jsonl.3"), F_OK) != 0)
        // One batch may fill several files, and a line that fits into none still has one.
        #expect(file.append((1...3).map { line("long line \($0)") }) == (3, nil))
        #expect(try text("audit.jsonl.1") == "long line 2\n")
    }

    @Test func halfALineDoesNotSpoilTheNext() throws {
        try folder.write("audit.jsonl", "{\"cut")
        #expect(AuditFile(folder: folder.path).append([line("whole")]) == (1, nil))
        #expect(try text("audit.jsonl") == "{\"cut\nwhole\n")
    }

    @Test func aLinkThatSomebodyPlantedIsNotFollowed() throws {
        try folder.write("other", "kept")
        #expect(symlink(folder("other"), folder("audit.jsonl")) == 0)
        #expect(AuditFile(folder: folder.path).append([line("a")]).error?.code == ELOOP)
        #expect(try text("other") == "kept")
    }

    @Test func aFileThatHasAnotherNameIsNotWrittenTo() throws {
        try folder.write("other", "mine")
        #expect(link(folder("other"), folder("audit.jsonl")) == 0)
        #expect(AuditFile(folder: folder.path).append([line("a")]).error?.code == EPERM)
        #expect(try text("other") == "mine")
    }

    @Test func whatSomebodyPutInItsPlaceIsNotWrittenTo() throws {
        #expect(mkfifo(folder("audit.jsonl"), 0o666) == 0)
        #expect(AuditFile(folder: folder.path).append([line("a")]).error?.code == EPERM)
    }

    @Test("a file of another user is not written to", .enabled(if: geteuid() == 0, "only root can give a file away"))
    func aFileOfAnotherUserIsNotWrittenTo() throws {
        try folder.write("audit.jsonl", "kept", mode: 0o666)
        chown(folder("audit.jsonl"), 65_534, 65_534)
        #expect(AuditFile(folder: folder.path).append([line("a")]).error?.code == EPERM)
        #expect(try text("audit.jsonl") == "kept")
    }

    @Test func aDiskThatFailsIsSaidOnceAndLosesNothingThatFits() async throws {
        // A file where the folder should be.
        try folder.write("state", "")
        let said = Said()
        let log = AuditLog(AuditFile(folder: folder("state")), capacity: 3, logger: said.logger)
        for id in 1...5 {
            log.append(try record(UInt64(id)))
            await flush(log)
        }
        #expect(
            said.errors.count == 1 && said.errors.first?.contains("cannot write the audit") == true, "\(said.errors)")
        #expect(log.info.failure?.failure.kind == .stateNotSaved)
        #expect(log.info.lost == 2)

        #expect(unlink(folder("state")) == 0)
        await flush(log)
        #expect(log.info.failure == nil && log.info.lost == 2)
        let lines = try text("state/audit.jsonl").split(separator: "\n")
        #expect(lines.count == 3)
        #expect(said.errors.count == 1)
    }

    @Test func withoutAHomeItIsSaidWhatToSet() throws {
        let said = Said()
        let log = AuditLog(nil, logger: said.logger)
        log.append(try record())
        #expect(log.info.failure?.failure.hint == "set XDG_STATE_HOME or HOME for eiced")
        #expect(said.errors.count == 1 && log.info.lost == 1)
    }

    @Test func manyThreadsMayAppend() async throws {
        let log = AuditLog(AuditFile(folder: folder.path, limit: 4_000), logger: Said().logger)
        await withTaskGroup(of: Void.self) { group in
            for id in 1...100 {
                group.addTask { if let record = try? self.record(UInt64(id)) { log.append(record) } }
            }
        }
        await flush(log)
        var count = 0
        for name in ["audit.jsonl"] + (1...4).map({ "audit.jsonl.\($0)" }) {
            for line in (try? text(name))?.split(separator: "\n") ?? [] {
                _ = try JSONDecoder().decode(AuditRecord.self, from: Data(line.utf8))
                count += 1
            }
        }
        #expect(count > 20 && log.info.lost == 0)
    }

    private func flush(_ log: AuditLog) async {
        await withCheckedContinuation { continuation in log.flush { continuation.resume() } }
    }
}

/// Any JSON value, of which only the name matters.
private struct AnyField: Decodable {
    init(from decoder: any Decoder) throws {}
}

/// What was logged as an error.
private final class Said: Sendable {
    private let lines = Mutex<[String]>([])

    var errors: [String] { lines.withLock { $0 } }

    var logger: Logger { Logger(label: "test") { _ in Handler(said: self) } }

    private struct Handler: LogHandler {
        let said: Said
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        init(said: Said) { self.said = said }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            if event.level == .error { said.lines.withLock { $0.append(event.message.description) } }
        }
    }
}
