import ControlProtocol
import Failures
import Glibc
import Logging
import ServiceManager
import SocketIO
import Synchronization
import TestSupport
import Testing
import Transport
import Tunnels

@testable import Daemon

/// What the two processes of a hand-over make of each other's messages.
@Suite struct HandoverRulesTests {
    private let loop: Loop

    init() throws { loop = try Loop(label: "test") }

    private func onLoop<Value: Sendable>(_ body: @escaping @Sendable (isolated Loop) -> Value) async -> Value {
        await handedOver { done in loop.submit { loop in done(body(loop)) } }
    }

    private func send(_ message: HandoverMessage, on socket: FileDescriptor) throws {
        #expect(try HandoverSocket.send(HandoverPacket(message: message), on: socket))
    }

    // MARK: Predecessors

    private final class Scene {
        let pools = GatewayPools(limits: .init())
        let predecessors: Predecessors
        var changes = 0

        init(_ socket: FileDescriptor, on loop: isolated Loop) {
            predecessors = Predecessors(
                pools: pools, notifier: Notifier(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            predecessors.onChange = { [unowned self] in changes += 1 }
            predecessors.adopt(socket, on: loop)
        }
    }

    private struct Seen: Equatable, Sendable {
        var slots: [Int]
        var taken: [String]
    }

    private func seen(_ scene: LoopBound<Scene>) async -> Seen {
        await onLoop { loop in
            let scene = scene.get(on: loop)
            return Seen(
                slots: scene.predecessors.counts.map(\.slots),
                taken: scene.pools.all.map { "\($0.gateway.region) \($0.gateway.id) \($0.host ?? "-") \($0.taken)" })
        }
    }

    @Test("the slots of a process that drains count as taken until it ends")
    func slots() async throws {
        let (here, there) = try HandoverSocket.pair()
        let scene = await onLoop { loop in LoopBound(Scene(here, on: loop), on: loop) }
        try await eventually("the process is asked for its slots") {
            if case .packet(let packet) = try HandoverSocket.receive(from: there) {
                return packet.message.kind == .report
            }
            return false
        }
        #expect(await seen(scene) == Seen(slots: [0], taken: []))
        func slot(_ endpoint: String, _ count: Int) -> TakenSlots {
            TakenSlots(
                Gateway(transport: "eice", id: endpoint, region: "r"), host: "\(endpoint).test", count: count)
        }
        // A message of another kind says nothing about slots.
        try send(HandoverMessage(.complete, slots: [slot("a", 9)]), on: there)
        try send(HandoverMessage(.taken, slots: [slot("a", 2), slot("b", 1), slot("a", 3), slot("c", 0)]), on: there)
        try await eventually("its slots are taken") {
            await seen(scene) == Seen(slots: [6], taken: ["r a a.test 5", "r b b.test 1"])
        }
        try send(HandoverMessage(.taken, slots: [slot("b", 2)]), on: there)
        try await eventually("its slots are others") {
            await seen(scene) == Seen(slots: [2], taken: ["r a a.test 0", "r b b.test 2"])
        }
        there.close()
        try await eventually("it has ended") {
            await seen(scene) == Seen(slots: [], taken: ["r a a.test 0", "r b b.test 0"])
        }
        #expect(await onLoop { loop in scene.get(on: loop).changes } == 3)
    }

    @Test("a process that lets its predecessors go hears nothing of them any more")
    func lettingGo() async throws {
        let (here, there) = try HandoverSocket.pair()
        let scene = await onLoop { loop in
            let scene = Scene(here, on: loop)
            scene.predecessors.letGo(on: loop)
            return LoopBound(scene, on: loop)
        }
        #expect(await seen(scene) == Seen(slots: [], taken: []))
        try await eventually("its end is closed") {
            if case .end = try HandoverSocket.receive(from: there) { return true }
            return false
        }
    }

    // MARK: The channel

    @Test("of what is reported only the latest waits, and everything else arrives in its order")
    func reports() async throws {
        let (here, there) = try HandoverSocket.pair()
        let count = 3_000
        let channel = try await onLoop { loop in
            Result { () throws(SystemError) in
                let channel = try HandoverChannel(here, on: loop)
                for number in 1...count {
                    let slots = [
                        TakenSlots(
                            Gateway(transport: "eice", id: "e", region: "r"), host: "d", count: number)
                    ]
                    channel.send(HandoverMessage(.taken, slots: slots), on: loop)
                    if number % 1_000 == 0 { channel.send(HandoverMessage(.forward, name: "\(number)"), on: loop) }
                }
                return LoopBound(channel, on: loop)
            }
        }.get()
        var counts: [Int] = []
        var names: [String] = []
        try await eventually("all has arrived") {
            while case .packet(let packet) = try HandoverSocket.receive(from: there) {
                if let slots = packet.message.slots { counts += slots.map(\.count) }
                if let name = packet.message.name { names.append(name) }
            }
            return counts.last == count && names.count == 3
        }
        #expect(counts == counts.sorted() && counts.count < count, "the socket took all of them at once")
        #expect(names == ["1000", "2000", "3000"])
        await onLoop { loop in channel.get(on: loop).close(on: loop) }
    }

    // MARK: The successor

    private final class Outcome: Sendable {
        private let state = Mutex<[String]>([])
        func add(_ text: String) { state.withLock { $0.append(text) } }
        var all: [String] { state.withLock { $0 } }
    }

    private func successor(_ socket: FileDescriptor, program: pid_t?, _ outcome: Outcome) async throws -> LoopBound<
        Successor
    > {
        try await onLoop { loop in
            Result { () throws(SystemError) in
                LoopBound(
                    try Successor(
                        socket, program: program,
                        packets: [HandoverPacket(message: HandoverMessage(.descriptors, name: "f"))], on: loop
                    ) { result in
                        switch result {
                        case .success: outcome.add("success")
                        case .failure(let failure): outcome.add("\(failure.kind.rawValue) \(failure)")
                        }
                    }, on: loop)
            }
        }.get()
    }

    private func sleeper() throws -> ChildProcess { try ChildProcess("/bin/sleep", ["600"]) }

    @Test("a successor that ends before it is ready is a failure, and its process is killed")
    func anEarlyEnd() async throws {
        let (here, there) = try HandoverSocket.pair()
        let (outcome, child) = (Outcome(), try sleeper())
        let successor = try await successor(here, program: child.pid, outcome)
        there.close()
        try await eventually("it has failed") { outcome.all.count == 1 }
        #expect(outcome.all.first?.contains("it ended before it was ready") == true)
        try await eventually("the process is killed") { child.exit == .signal(SIGKILL) }
        await onLoop { loop in _ = successor.get(on: loop) }
    }

    @Test("a successor that refuses says why, and a process that this one did not start is left alone")
    func aRefusal() async throws {
        let (here, there) = try HandoverSocket.pair()
        let (outcome, child) = (Outcome(), try sleeper())
        let successor = try await successor(here, program: nil, outcome)
        try send(HandoverMessage(.failed, failure: Failure(.usage, "no", why: "bad", hint: "look")), on: there)
        try await eventually("it has failed") { outcome.all.count == 1 }
        #expect(
            outcome.all == ["handover-failed the new eiced did not take over, this one goes on: no: bad (look)"])
        #expect(child.exit == nil)
        await onLoop { loop in _ = successor.get(on: loop) }
    }

    @Test("a successor gets what it is given, then the word that this was all, and is ready once")
    func ready() async throws {
        let (here, there) = try HandoverSocket.pair()
        let (outcome, child) = (Outcome(), try sleeper())
        let successor = try await successor(here, program: child.pid, outcome)
        var kinds: [HandoverMessage.Kind] = []
        try await eventually("all is given") {
            if case .packet(let packet) = try HandoverSocket.receive(from: there) { kinds.append(packet.message.kind) }
            return kinds == [.descriptors, .complete]
        }
        // What it does not know is of no meaning.
        try send(HandoverMessage(.report), on: there)
        try send(HandoverMessage(.ready), on: there)
        try send(HandoverMessage(.ready), on: there)
        try await eventually("it is ready") { !outcome.all.isEmpty }
        await onLoop { loop in _ = successor.get(on: loop) }
        #expect(outcome.all == ["success"])
        #expect(child.exit == nil)
    }

    // MARK: Receiving

    @Test("a process takes over nothing from one that ends or that says what it does not know")
    func inheritance() throws {
        let (here, there) = try HandoverSocket.pair()
        let text = #"{"kind":"moon"}"#
        #expect(Glibc.send(here.raw, text, text.utf8.count, 0) == text.utf8.count)
        try send(HandoverMessage(.forward), on: here)
        try send(HandoverMessage(.descriptors), on: here)
        here.close()
        let failure = #expect(throws: Failure.self) { try Inheritance.receive(from: there) }
        #expect(failure?.kind == .handoverFailed && failure?.why == "it ended")
    }

    @Test("a process that cannot take over tells the old one why")
    func refusing() throws {
        let (here, there) = try HandoverSocket.pair()
        Inheritance.refuse(Failure(.usage, "no"), over: here)
        guard case .packet(let packet) = try HandoverSocket.receive(from: there) else {
            Issue.record("nothing came")
            return
        }
        #expect(packet.message == HandoverMessage(.failed, failure: Failure(.usage, "no")))
        here.close()
        Inheritance.refuse(Failure(.usage, "no"), over: here)
    }

    @Test("where no daemon runs there is nothing to replace")
    func replacing() throws {
        let folder = try TemporaryDirectory()
        #expect(try Replacing.ask(at: folder("control.sock")) == nil)
    }
}
