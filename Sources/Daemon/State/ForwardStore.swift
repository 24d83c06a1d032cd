import AWS
import Bounds
import ControlProtocol
import Failures
import Logging
import SocketIO
import Tunnels

/// The forwards that last, in memory as they are on the disk: changes are made one after another, and each counts only
/// once it is saved. Confined to the control loop; the disk is waited for on the blocking pool.
final class ForwardStore {
    private struct Pending {
        let removed: [String]
        let added: [ForwardSpecification]
        let completion: (Failure?) -> Void
    }

    private(set) var list: ForwardList
    /// What stands until somebody does something about it, for `status`.
    private(set) var warnings: [FailureRecord]
    /// Why the last save failed, until one succeeds.
    private var trouble: FailureRecord?
    private let save: @Sendable ([SavedForward]) throws(Failure) -> Void
    private let logger: Logger
    private var waiting: [Pending] = []
    private var saving: Pending?

    convenience init(_ loaded: ForwardsDisk.Loaded, disk: ForwardsDisk, logger: Logger) {
        self.init(loaded, logger: logger) { (forwards) throws(Failure) in try disk.save(forwards) }
    }

    /// - Parameter save: puts all forwards on the disk, which may take any time: it is called on the blocking pool, once at a time.
    init(
        _ loaded: ForwardsDisk.Loaded, logger: Logger,
        save: @escaping @Sendable ([SavedForward]) throws(Failure) -> Void
    ) {
        self.save = save
        self.logger = logger
        list = ForwardList(loaded.forwards)
        warnings = []
        for failure in loaded.warnings { warn(failure) }
    }

    /// Tells a person, in the log and in `status`.
    func warn(_ failure: Failure) {
        logger.error("\(failure)")
        warnings.append(FailureRecord(when: .now(), failure: failure))
    }

    var allWarnings: [FailureRecord] {
        // A file that could not be read is in the way of each save too, and is told once.
        warnings
            + (trouble.map { trouble in warnings.contains { $0.failure == trouble.failure } ? [] : [trouble] } ?? [])
    }

    /// Makes a change last. `completion` comes on the loop: with nil when the change is on the disk, else with why it is not; nothing
    /// has changed then. Changes that concern the disk complete in the order of the calls; others complete at once, however long the
    /// disk takes for those before.
    func change(
        removing removed: [String], adding added: [ForwardSpecification], on loop: isolated Loop,
        completion: @escaping (Failure?) -> Void
    ) {
        guard added.contains(where: \.isSaved) || removed.contains(where: isKept) else { return completion(nil) }
        waiting.append(Pending(removed: removed, added: added, completion: completion))
        if saving == nil { saveNext(on: loop) }
    }

    /// Whether the disk has a forward of that name, or is about to.
    private func isKept(_ name: String) -> Bool {
        if list[name] != nil { return true }
        return ((saving.map { [$0] } ?? []) + waiting).contains { pending in
            pending.added.contains { $0.isSaved && $0.name == name }
        }
    }

    private func saveNext(on loop: isolated Loop) {
        while !waiting.isEmpty {
            let next = waiting.removeFirst()
            let fresh = list.applying(removing: next.removed, adding: next.added)
            if fresh == list {
                next.completion(nil)
                continue
            }
            saving = next
            let bound = LoopBound((self, next), on: loop)
            let save = save
            BlockingPool.shared.run {
                let outcome: Failure?
                do throws(Failure) {
                    try save(fresh.all)
                    outcome = nil
                } catch {
                    outcome = error
                }
                bound.loop.submit { loop in
                    let (store, pending) = bound.get(on: loop)
                    store.saved(fresh, pending, outcome, on: loop)
                }
            }
            return
        }
    }

    private func saved(_ fresh: ForwardList, _ pending: Pending, _ failure: Failure?, on loop: isolated Loop) {
        if let failure, failure.kind == .tooManyForwards {
            // This change is refused; the disk is as good as before.
            logger.error("\(failure)")
        } else if let failure {
            if trouble?.failure != failure { logger.error("\(failure)") }
            trouble = FailureRecord(when: .now(), failure: failure)
        } else {
            list = fresh
            trouble = nil
            // What could not be saved before can be now.
            warnings.removeAll { $0.failure.kind == .stateNotSaved }
        }
        pending.completion(failure)
        saving = nil
        saveNext(on: loop)
    }
}
