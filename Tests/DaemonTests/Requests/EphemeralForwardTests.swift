import Dispatch
import Failures
import Logging
import SocketIO
import Synchronization
import TestSupport
import Testing
import Tunnels

@testable import Daemon

/// Which changes wait for the disk.
@Suite struct EphemeralForwardTests {
    /// A disk whose saves last until they are let go.
    private final class Disk: Sendable {
        let gate = DispatchSemaphore(value: 0)
        let saved = Mutex<[[String]]>([])
        let failure: Failure?

        init(failure: Failure? = nil) { self.failure = failure }

        func save(_ forwards: [SavedForward]) throws(Failure) {
            gate.wait()
            if let failure { throw failure }
            saved.withLock { $0.append(forwards.map(\.name)) }
        }
    }

    private let loop: Loop
    private let ended = Ended()

    private final class Ended: Sendable {
        let names = Mutex<[String]>([])
        func note(_ name: String) { names.withLock { $0.append(name) } }
        var all: [String] { names.withLock { $0 } }
    }

    init() throws { loop = try Loop(label: "test") }

    private func onLoop<Value: Sendable>(_ body: @escaping @Sendable (isolated Loop) -> Value) async -> Value {
        await handedOver { done in loop.submit { loop in done(body(loop)) } }
    }

    private func store(_ disk: Disk) async -> LoopBound<ForwardStore> {
        await onLoop { loop in
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            return LoopBound(
                ForwardStore(.init(), logger: logger) { (forwards) throws(Failure) in try disk.save(forwards) },
                on: loop)
        }
    }

    private func change(
        _ store: LoopBound<ForwardStore>, removing removed: [String] = [], adding added: [ForwardSpecification] = [],
        called name: String
    ) async {
        await onLoop { [ended] loop in
            store.get(on: loop).change(removing: removed, adding: added, on: loop) { failure in
                ended.note(failure == nil ? name : "\(name) failed")
            }
        }
    }

    private func ephemeral(_ name: String) throws -> ForwardSpecification {
        var specification = try ForwardSpecification.sample(name)
        specification.isEphemeral = true
        return specification
    }

    @Test("an ephemeral forward waits for no save, and one that lasts waits for its own")
    func ephemeralForwards() async throws {
        let disk = Disk()
        let store = await store(disk)
        await change(store, adding: [try .sample("slow")], called: "slow")
        await change(store, adding: [try ephemeral("quick")], called: "add")
        await change(store, removing: ["quick"], called: "rm")
        await change(store, removing: ["quick"], adding: [try ephemeral("other")], called: "set")
        #expect(ended.all == ["add", "rm", "set"])
        await change(store, removing: ["slow"], called: "rm slow")
        await change(store, adding: [try .sample("later")], called: "later")
        #expect(ended.all == ["add", "rm", "set"], "what is about to be on the disk is removed there too")
        for _ in 0..<3 { disk.gate.signal() }
        try await eventually("all are saved in order") { ended.all.suffix(3) == ["slow", "rm slow", "later"] }
        #expect(disk.saved.withLock { $0 } == [["slow"], [], ["later"]])
    }

    @Test("a save that is refused for its size is no lasting trouble")
    func refusedSaves() async throws {
        for (kind, warnings) in [(Failure.Kind.tooManyForwards, 0), (.stateNotSaved, 1)] {
            let disk = Disk(failure: Failure(kind, "no"))
            let store = await store(disk)
            await change(store, adding: [try .sample("a")], called: kind.rawValue)
            disk.gate.signal()
            try await eventually("it failed") { ended.all.last == "\(kind.rawValue) failed" }
            #expect(await onLoop { store.get(on: $0).allWarnings.count } == warnings)
            #expect(await onLoop { store.get(on: $0).list.all.isEmpty })
        }
    }
}
