import Bounds
import ControlProtocol
import Failures
import FoundationEssentials
import Glibc
import Logging
import SocketIO
import Synchronization
import Tunnels

/// The audit: a JSON line for each tunnel that ended. From any thread; nobody waits for the disk but a thread of the
/// blocking pool.
///
/// What cannot be written waits, up to a bound, and is tried again with the next line; beyond it lines are lost, and counted.
final class AuditLog: Sendable {
    private struct State {
        var waiting: [AuditRecord] = []
        var isWriting = false
        var lost = 0
        var failure: FailureRecord?
        var whenWritten: [@Sendable () -> Void] = []
    }

    /// Records that may wait: some megabytes.
    static let capacity = 4_096

    private let file: AuditFile?
    private let capacity: Int
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameter file: nil where there is no folder for it.
    init(_ file: AuditFile?, capacity: Int = AuditLog.capacity, logger: Logger) {
        self.file = file
        self.capacity = capacity
        self.logger = logger
        if file == nil { fail(why: "there is no home folder", hint: "set XDG_STATE_HOME or HOME for eiced") }
    }

    /// Where it is written, and how that goes.
    var info: AuditInfo {
        let state = state.withLock { ($0.lost, $0.failure) }
        return AuditInfo(path: path, lost: state.0, failure: state.1)
    }

    private var path: String { file?.path ?? "~/.local/state/eiced/\(AuditFile.name)" }

    func append(_ record: AuditRecord) {
        let mustStart = state.withLock { state in
            guard file != nil, state.waiting.count < capacity else {
                state.lost += 1
                return false
            }
            state.waiting.append(record)
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if mustStart { BlockingPool.shared.run { self.write() } }
    }

    /// Tries to write what waits; `completion` comes on any thread when that was tried.
    func flush(_ completion: @escaping @Sendable () -> Void) {
        let (isDone, mustStart) = state.withLock { state in
            guard !state.waiting.isEmpty || state.isWriting else { return (true, false) }
            state.whenWritten.append(completion)
            defer { state.isWriting = true }
            return (false, !state.isWriting)
        }
        if isDone { completion() }
        if mustStart { BlockingPool.shared.run { self.write() } }
    }

    /// Empties the queue, or finds that the disk does not take it. One at a time.
    private func write() {
        guard let file else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        while true {
            let batch = state.withLock { $0.waiting }
            let lines = batch.map { record in
                ForeignText.json((try? encoder.encode(record)).map(Array.init) ?? Array("{}".utf8)) + [
                    UInt8(ascii: "\n")
                ]
            }
            let outcome = file.append(lines)
            let (isOver, completions) = state.withLock { state in
                state.waiting.removeFirst(outcome.written)
                state.waiting.giveBackRoom()
                let isOver = outcome.error != nil || state.waiting.isEmpty
                if isOver { state.isWriting = false }
                defer { if isOver { state.whenWritten = [] } }
                return (isOver, isOver ? state.whenWritten : [])
            }
            if let error = outcome.error {
                fail(
                    why: "\(error)",
                    hint: [ENOSPC, EDQUOT].contains(error.code) ? "free some space" : "look at \(file.folder)")
            } else {
                succeed()
            }
            for completion in completions { completion() }
            if isOver { return }
        }
    }

    /// Said once, until it works again.
    private func fail(why: String, hint: String) {
        let failure = Failure(.stateNotSaved, "cannot write the audit to \(path)", why: why, hint: hint)
        let isNew = state.withLock { state in
            guard state.failure == nil else { return false }
            state.failure = FailureRecord(when: .now(), failure: failure)
            return true
        }
        if isNew { logger.error("\(failure)") }
    }

    private func succeed() {
        let lost: Int? = state.withLock { state in
            guard state.failure != nil else { return nil }
            state.failure = nil
            return state.lost
        }
        if let lost { logger.notice("the audit is written again; \(lost) tunnels are missing in it") }
    }
}
