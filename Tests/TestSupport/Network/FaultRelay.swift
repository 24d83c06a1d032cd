import CLinux
import Glibc
import Synchronization

/// A TCP relay that breaks connections on purpose, at a moment that it recognises from what passes: it reads enough of
/// HTTP and TLS to know how far a dial has come.
public final class FaultRelay: Sendable {
    public enum Fault: String, CaseIterable, Sendable {
        case reset, drop, stall, truncation, corruption, delay, trickle
        /// The connection is reset and nobody listens any more, until ``FaultRelay/listenAgain()``.
        case gone

        /// Whether a connection survives it.
        public var isHarmless: Bool { self == .delay || self == .trickle }
    }

    public enum Direction: String, CaseIterable, Sendable { case upload, download, both }

    /// In the order in which a connection goes through them.
    public enum Phase: Int, CaseIterable, Comparable, Sendable {
        case tcp, connect, tls, upgrade, streaming, close

        public static func < (one: Phase, other: Phase) -> Bool { one.rawValue < other.rawValue }
    }

    public struct Plan: Hashable, Sendable {
        public var fault: Fault
        public var phase: Phase
        public var direction: Direction

        public init(_ fault: Fault, in phase: Phase, _ direction: Direction) {
            (self.fault, self.phase, self.direction) = (fault, phase, direction)
        }
    }

    public var port: UInt16 { server.port }
    private let server: LoopbackServer
    private let state: State

    /// - Parameter port: where whole connections lead.
    public init(to port: UInt16) throws {
        let state = State()
        self.state = state
        let server = try LoopbackServer { client in try Connection(client, state).relay(to: port) }
        self.server = server
        state.listening.withLock { $0.server = server }
    }

    /// Refuses connections from now on, and ends those there are.
    public func stop() { server.stop() }

    /// What happens to the next connection; later ones are whole again.
    public func plan(_ plan: Plan) {
        state.struck.withLock { $0 = 0 }
        // Nothing of a connection is there before TCP is.
        if plan.fault == .gone, plan.phase == .tcp { return state.goAway() }
        state.next.withLock { $0 = plan }
    }

    /// How often the plan's fault has struck.
    public var struck: Int { state.struck.withLock { $0 } }

    /// After ``Fault/gone``.
    public func listenAgain() throws { try server.listenAgain() }

    /// What happens to every connection that is open now, whatever it is doing.
    public func strike(_ fault: Fault, _ direction: Direction) {
        let open = state.open.withLock { Array($0.values) }
        for connection in open { connection.strike(fault, direction) }
    }

    /// The connection that was planned for is in this phase now: streaming and its end look alike from outside.
    public func enter(_ phase: Phase) { state.current.withLock { $0?.enter(phase) } }

    private final class State: Sendable {
        let next = Mutex<Plan?>(nil)
        let struck = Mutex(0)
        let listening = Mutex(Listening())

        struct Listening {
            weak var server: LoopbackServer?
        }

        func goAway() {
            listening.withLock { $0.server?.refuse() }
            struck.withLock { $0 += 1 }
        }

        /// The last connection that had a plan.
        let current = Mutex<Connection?>(nil)
        let open = Mutex<[ObjectIdentifier: Connection]>([:])
    }

    /// One relayed connection: a thread for each direction.
    private final class Connection: Sendable {
        private let client: LoopbackSocket
        private let state: State
        private let plan: Mutex<Plan?>
        private let phase = Mutex(Phase.tcp)
        private let done = Mutex(false)

        init(_ client: LoopbackSocket, _ state: State) {
            self.client = client
            self.state = state
            let next = state.next.withLock { next in
                defer { next = nil }
                return next
            }
            plan = Mutex(next)
            if next != nil { state.current.withLock { $0 = self } }
        }

        func strike(_ fault: Fault, _ direction: Direction) {
            plan.withLock { $0 = Plan(fault, in: .streaming, direction) }
            enter(.streaming)
        }

        func enter(_ phase: Phase) {
            self.phase.withLock { $0 = max($0, phase) }
        }

        /// The fault that strikes bytes of `direction` now.
        ///
        /// - Parameter isFirst: whether they are the first: TCP itself has no bytes, so what strikes it strikes these.
        private func fault(_ direction: Direction, isFirst: Bool) -> Fault? {
            guard let plan = plan.withLock({ $0 }), plan.direction == .both || plan.direction == direction else {
                return nil
            }
            // Of these what was begun goes on; the others have happened once.
            let lasts = [.drop, .stall, .trickle].contains(plan.fault)
            let now = phase.withLock { $0 }
            return now == plan.phase || (isFirst && plan.phase == .tcp) || (lasts && now > plan.phase)
                ? plan.fault : nil
        }

        func relay(to port: UInt16) throws {
            defer { state.current.withLock { if $0 === self { $0 = nil } } }
            if let plan = plan.withLock({ $0 }), plan.phase == .tcp, plan.fault == .reset {
                state.struck.withLock { $0 += 1 }
                return client.reset()
            }
            state.open.withLock { $0[ObjectIdentifier(self)] = self }
            defer { _ = state.open.withLock { $0.removeValue(forKey: ObjectIdentifier(self)) } }
            let onward = try LoopbackSocket.connect(port: port)
            defer { onward.close() }
            let down = try Joined { self.carry(from: onward, to: self.client, .download, PhaseReader()) }
            carry(from: client, to: onward, .upload, PhaseReader())
            // It uses both sockets until it has seen the end.
            try down.wait()
        }

        private func end(_ sockets: LoopbackSocket...) { for socket in sockets { socket.shutdownBoth() } }

        private func carry(
            from source: LoopbackSocket, to sink: LoopbackSocket, _ direction: Direction, _ reader: PhaseReader
        ) {
            var reader = reader
            var struck = false
            var isFirst = true
            do {
                while true {
                    var bytes = try source.read(upTo: 1 << 14)
                    if bytes.isEmpty { break }
                    if direction == .upload { enter(reader.read(bytes)) }
                    let fault = fault(direction, isFirst: isFirst)
                    isFirst = false
                    if fault != nil { state.struck.withLock { $0 += 1 } }
                    switch fault {
                    case nil: try sink.write(bytes)
                    case .reset, .gone:
                        if fault == .gone { state.goAway() }
                        // So that a close is a reset, whoever does it.
                        for socket in [source, sink] { socket.abortOnClose() }
                        return end(source, sink)
                    case .drop: continue
                    case .stall:
                        // Until the other side gives up.
                        while !source.hasHungUp(within: 20), !sink.hasHungUp(within: 0) {}
                        return end(source, sink)
                    case .truncation:
                        try sink.write(Array(bytes.prefix(bytes.count / 2)))
                        return end(source, sink)
                    case .corruption where !struck:
                        struck = true
                        bytes[0] ^= 0x55
                        bytes[bytes.count - 1] ^= 0x55
                        try sink.write(bytes)
                    case .delay where !struck:
                        struck = true
                        _ = sink.hasHungUp(within: 60)
                        try sink.write(bytes)
                    case .trickle: for byte in bytes { try sink.write([byte]) }
                    case .corruption, .delay: try sink.write(bytes)
                    }
                }
                sink.shutdownWrite()
            } catch {
                end(source, sink)
            }
        }
    }
}

/// How far a dial has come, by what its client has sent: CONNECT in the clear, then TLS records.
private struct PhaseReader {
    private var seen: [UInt8] = []
    private var phase = FaultRelay.Phase.tcp
    private var applicationRecords = 0

    mutating func read(_ bytes: [UInt8]) -> FaultRelay.Phase {
        guard phase < .upgrade else { return phase }
        seen += bytes
        if phase <= .connect, seen.first == UInt8(ascii: "C") {
            phase = .connect
            guard let end = seen.firstRange(of: Array("\r\n\r\n".utf8)) else { return phase }
            seen.removeFirst(end.upperBound)
        }
        // RFC 8446, section 5.1: kind, version, length. The Finished is the first record of application data that a client
        // sends, its request the second.
        while seen.count >= 5 {
            phase = max(phase, .tls)
            let length = Int(seen[3]) << 8 | Int(seen[4])
            if seen[0] == 23 { applicationRecords += 1 }
            if applicationRecords == 2 { phase = .upgrade }
            guard seen.count >= 5 + length else { break }
            seen.removeFirst(5 + length)
        }
        return phase
    }
}

extension LoopbackSocket {
    /// Whether the other side has closed or reset, or does so within so many milliseconds.
    fileprivate func hasHungUp(within milliseconds: CInt) -> Bool {
        // poll(2) and epoll(7) share this bit, which Swift's Glibc has for epoll alone.
        var waiting = pollfd(fd: descriptor.raw, events: Int16(EPOLLRDHUP.rawValue), revents: 0)
        return poll(&waiting, 1, milliseconds) > 0
    }

    fileprivate func abortOnClose() {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor.raw, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    }
}
