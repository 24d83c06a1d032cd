import Failures
import Glibc
import SocketIO
import TestSupport
import Transport

@testable import Tunnels

/// A transport without an endpoint: a dial connects to a port of this host, and bytes pass as they are.
///
/// It proves that tunnels work by what a ``Transport`` says of itself, and not by what Instance Connect is.
struct FakeTransport: Transport {
    /// What differs from one transport to another.
    struct Nature: Sendable {
        /// Slots of a gateway.
        var capacity: Int?
        /// The target can learn that the client sends no more.
        var canHalfClose = false
        /// Tunnels that one connection to the gateway carries, which has one slot.
        var tunnelsPerCarrier = 1
    }

    let kind = "fake"
    let nature: Nature
    /// Where targets are.
    let port: UInt16
    private let carriers: LoopBound<Carriers>

    /// The open connections to the gateway, by how many tunnels use each.
    private final class Carriers {
        var all: [Carrier] = []

        var withRoom: Carrier? { all.first { $0.hasRoom } }
    }

    /// One connection to the gateway. It ends with its last tunnel.
    final class Carrier {
        fileprivate var room: Int
        fileprivate var users = 0
        fileprivate var releaseSlot: (@Sendable () -> Void)?
        var hasRoom: Bool { users < room }

        fileprivate init(room: Int) { self.room = room }
    }

    init(_ nature: Nature, port: UInt16, on control: isolated Loop) {
        self.nature = nature
        self.port = port
        carriers = LoopBound(Carriers(), on: control)
    }

    func carrierCount(on loop: isolated Loop) -> Int { carriers.get(on: loop).all.count }

    func limits(on loop: isolated Loop) -> TransportLimits {
        TransportLimits(
            capacity: nature.capacity, maxDuration: nil,
            firstPhase: DialPhase(id: "connect", name: "TCP connect", limit: .seconds(10) * Patience.factor))
    }

    func resolve(_ request: RouteRequest) async throws(Failure) -> ResolvedRoute {
        let gateway = Gateway(transport: kind, id: "fake-1", region: "here")
        return ResolvedRoute(
            Route(
                target: request.target, remotePort: request.remotePort, address: "127.0.0.1", region: "here",
                profile: nil, path: Path(gateway: gateway, nearness: .pinned)))
    }

    func awaited(by request: RouteRequest) -> AwaitedPart? { nil }
    func awaitLogin(_ request: RouteRequest) async throws(Failure) {}
    func forget(_ request: RouteRequest) async {}

    func carries(_ path: Path, on loop: isolated Loop) -> Bool {
        nature.tunnelsPerCarrier > 1 && carriers.get(on: loop).withRoom != nil
    }

    func dial(
        _ route: Route, _ options: DialOptions, on loop: isolated Loop, report: @escaping (DialEvent) -> Void
    ) -> any Dial {
        let carriers = carriers.get(on: loop)
        let carrier: Carrier
        if options.releaseSlot == nil, let open = carriers.withRoom {
            carrier = open
        } else {
            carrier = Carrier(room: nature.tunnelsPerCarrier)
            carrier.releaseSlot = options.releaseSlot
            carriers.all.append(carrier)
        }
        carrier.users += 1
        let bound = LoopBound((carriers, carrier), on: loop)
        let isShared = nature.tunnelsPerCarrier > 1
        let left: @Sendable () -> Void = {
            bound.loop.submit { loop in
                let (carriers, carrier) = bound.get(on: loop)
                carrier.users -= 1
                guard carrier.users == 0 else { return }
                carriers.all.removeAll { $0 === carrier }
                if isShared { carrier.releaseSlot?() }
            }
        }
        return FakeDial(
            to: port, canHalfClose: nature.canHalfClose, keepsSlot: isShared, on: loop, whenClosed: left,
            report: report)
    }
}

/// Connects to a port of this host.
private final class FakeDial: Dial {
    private var connector: Connector?
    private let whenClosed: @Sendable () -> Void
    private var isOver = false

    init(
        to port: UInt16, canHalfClose: Bool, keepsSlot: Bool, on loop: isolated Loop,
        whenClosed: @escaping @Sendable () -> Void, report: @escaping (DialEvent) -> Void
    ) {
        self.whenClosed = whenClosed
        guard let address = SocketAddress(ip: "127.0.0.1", port: port) else { return }
        connector = Connector(to: [address], on: loop) { [weak self] result in
            guard let self, !isOver else { return }
            isOver = true
            do {
                let (descriptor, _) = try result.get()
                let stream = try PlainStream(descriptor, canHalfClose: canHalfClose, whenClosed: whenClosed, on: loop)
                report(.opened(OpenedStream(stream, began: .now, keepsSlot: keepsSlot)))
            } catch {
                whenClosed()
                report(.refused(.gatewayFailed(Failure(.cannotConnect, "cannot connect", why: "\(error)"))))
            }
        }
    }

    var awaited: AwaitedPart? { nil }
    func phaseTimedOut(on loop: isolated Loop) -> Bool { false }

    func cancel(on loop: isolated Loop) {
        connector?.cancel(on: loop)
        connector = nil
        guard !isOver else { return }
        isOver = true
        whenClosed()
    }
}

/// A socket as a stream to the target.
private final class PlainStream: RemoteStream, StreamSocketOwner {
    weak var owner: (any RemoteStreamOwner)?
    let headroom = 0
    let largestPayload = 65_536
    let canHalfClose: Bool
    let answersProbes = false
    private(set) var lastHeard = ContinuousClock.now
    private(set) var end: RemoteEnd?
    private var socket: StreamSocket?
    private var outgoing: [UInt8] = []
    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 1)
    private var incoming = 0..<0
    private var finishes = false
    private let whenClosed: @Sendable () -> Void

    init(
        _ descriptor: FileDescriptor, canHalfClose: Bool, whenClosed: @escaping @Sendable () -> Void,
        on loop: isolated Loop
    ) throws(SystemError) {
        self.canHalfClose = canHalfClose
        self.whenClosed = whenClosed
        socket = try StreamSocket(descriptor, owner: self, on: loop)
    }

    deinit { memory.deallocate() }

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) { owner?.streamIsReady(on: loop) }

    var maySend: Bool { socket?.mayWrite == true && outgoing.isEmpty }

    func send(_ buffer: Buffer, on loop: isolated Loop) {
        outgoing += buffer.filled
        flush(on: loop)
    }

    func flush(on loop: isolated Loop) {
        guard let socket else { return }
        while !outgoing.isEmpty {
            guard case .wrote(let count) = outgoing.withUnsafeBytes({ socket.write($0) }) else { return }
            outgoing.removeFirst(count)
        }
        guard finishes else { return }
        finishes = false
        socket.shutdownWrite()
    }

    func finishSending(on loop: isolated Loop) {
        finishes = true
        flush(on: loop)
    }

    var payload: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[incoming]) }
    func consume(_ count: Int, on loop: isolated Loop) { incoming.removeFirst(count) }
    var mayFill: Bool { end == nil && socket?.mayRead == true }

    func fill(on loop: isolated Loop) -> Bool {
        guard let socket else { return false }
        switch socket.read(into: memory) {
        case .bytes(let count):
            lastHeard = .now
            incoming = 0..<count
        case .wouldBlock: return false
        case .endOfFile: end = .finished
        case .failed(let error): end = .failed(Failure(.connectionLost, "the connection broke", why: error.reason))
        }
        return true
    }

    func probe(on loop: isolated Loop) {}
    var roundTrip: Duration? { nil }
    func sayGoodbye(_ goodbye: Goodbye, on loop: isolated Loop) { end = end ?? .finished }
    var isOver: Bool { end != nil && outgoing.isEmpty }

    func close(on loop: isolated Loop) {
        guard let socket else { return }
        self.socket = nil
        owner = nil
        socket.close(on: loop)
        whenClosed()
    }

    func callAgain(on loop: isolated Loop) { socket?.callAgain(on: loop) }
    func detach(on loop: isolated Loop) { socket?.detach(on: loop) }
    func attach(on loop: isolated Loop) throws(SystemError) { try socket?.attach(on: loop) }
}
