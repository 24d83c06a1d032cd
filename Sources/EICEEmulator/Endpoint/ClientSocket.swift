import SecureSocket
import SocketIO

/// Whoever drives a ``ClientSocket``.
protocol ClientSocketOwner: AnyObject {
    /// The socket can do something it could not do before.
    func clientIsReady(on loop: isolated Loop)
}

/// The socket of a tunnel's client, with the emulated distance to it. Confined to one loop.
///
/// Without latency it is the plain socket. With it, bytes lie in a ``DelayLine`` for half of the latency each way, so
/// that an exchange takes a round trip, and the first flight of a connection is held a whole latency longer: no process
/// can delay the kernel's TCP handshake, so it is charged to the bytes that follow it. What the client does with
/// its first flight's answer is then as late as over a real path.
final class ClientSocket: StreamSocketOwner, TLSCarrier {
    let socket: StreamSocket
    weak var owner: (any ClientSocketOwner)?
    private var isClosed = false
    private let latency: Duration
    /// Bytes that may be under way in one direction: a fast path of 8 Gbit/s with 50 ms holds about as many.
    private static let mostUnderWay = 48 << 20

    private var inbound = DelayLine()
    private var outbound = DelayLine()
    private var sawFirstFlight = false
    private var inboundEnd: StreamSocket.ReadResult?
    private var writeEnd = WriteEnd.none
    private var timer: Deadline?
    /// Until when the owner knows of the bytes that came out. Those it leaves must not start the timer again.
    private var toldUntil = ContinuousClock.now
    /// Ends a close whose delayed bytes the client does not take. Keeps this object although its owner is gone.
    private var closeLimit: Deadline?
    private static let closeTimeout = Duration.seconds(5)
    /// Where delayed bytes are read to before they go into the line.
    private var scratch: [UInt8] = []

    private enum WriteEnd { case none, shutdown, close }

    /// Its owner is set in the same turn of the loop.
    init(_ descriptor: FileDescriptor, latency: Duration, on loop: isolated Loop) throws(SystemError) {
        self.latency = latency
        descriptor.setNoDelay()
        socket = try StreamSocket(descriptor, owner: nil, on: loop)
        socket.give(to: self)
    }

    /// Whether the client sent its end of file, or reset the connection, whatever is still unread.
    var peerIsGone: Bool { isClosed || socket.peerShutDown || socket.hungUp }

    /// Whether both directions are over, which without our own end is a reset.
    var isReset: Bool { isClosed || socket.hungUp }

    private var isDirect: Bool { latency == .zero }

    // MARK: What the connection does with it

    /// Only a read knows whether delayed bytes are due.
    var mayRead: Bool { isDirect ? socket.mayRead : true }

    func read(into memory: UnsafeMutableRawBufferPointer, on loop: isolated Loop) -> StreamSocket.ReadResult {
        guard !isClosed else { return .endOfFile }
        if isDirect { return socket.mayRead ? socket.read(into: memory) : .wouldBlock }
        pullDelayed()
        let now = ContinuousClock.now
        let count = inbound.take(into: memory, at: now)
        if count > 0 { return .bytes(count) }
        if let inboundEnd, inbound.hasEnded(at: now) { return inboundEnd }
        toldUntil = now
        arm(on: loop)
        return .wouldBlock
    }

    func write(_ bytes: UnsafeRawBufferPointer, on loop: isolated Loop) -> StreamSocket.WriteResult {
        guard !isClosed else { return .failed(SystemError("write", code: 32)) }  // EPIPE
        if isDirect { return socket.mayWrite ? socket.write(bytes) : .wouldBlock }
        let room = Self.mostUnderWay - outbound.count
        guard room > 0 else { return .wouldBlock }
        outbound.append(UnsafeRawBufferPointer(rebasing: bytes.prefix(room)), due: .now + latency / 2)
        arm(on: loop)
        return .wrote(min(room, bytes.count))
    }

    /// Sends an end of file behind what was written.
    func shutdownWrite(on loop: isolated Loop) {
        guard writeEnd == .none else { return }
        writeEnd = .shutdown
        if isDirect { socket.shutdownWrite() } else { outbound.appendEnd(due: .now + latency / 2) }
        arm(on: loop)
    }

    /// Asks for another call of the owner.
    func callAgain(on loop: isolated Loop) { socket.callAgain(on: loop) }

    /// Closes the connection behind what was written. No call for the owner comes after this.
    func close(on loop: isolated Loop) {
        owner = nil
        if isClosed || isDirect || outbound.isEmpty || socket.hungUp {
            finish(on: loop)
            return
        }
        writeEnd = .close
        outbound.appendEnd(due: .now)
        closeLimit = loop.schedule(after: latency + Self.closeTimeout) { [self] in finish(on: loop) }
        arm(on: loop)
    }

    /// Resets the connection; what is under way is lost.
    func abort(on loop: isolated Loop) {
        owner = nil
        if !isClosed { socket.abortOnClose() }
        finish(on: loop)
    }

    private func finish(on loop: isolated Loop) {
        if let timer { loop.cancel(timer) }
        timer = nil
        if let closeLimit { loop.cancel(closeLimit) }
        closeLimit = nil
        isClosed = true
        socket.close(on: loop)
    }

    // MARK: The distance

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
        if !isDirect {
            pullDelayed()
            pushDelayed(on: loop)
        }
        tellOwner(on: loop)
    }

    private func tellOwner(on loop: isolated Loop) {
        toldUntil = .now
        owner?.clientIsReady(on: loop)
        arm(on: loop)
    }

    /// Takes what the kernel has and notes when it may be seen.
    private func pullDelayed() {
        if scratch.isEmpty { scratch = [UInt8](repeating: 0, count: 64 * 1_024) }
        while socket.mayRead, inboundEnd == nil, inbound.count < Self.mostUnderWay {
            let now = ContinuousClock.now
            let due = now + latency / 2 + (sawFirstFlight ? .zero : latency)
            scratch.withUnsafeMutableBytes { memory in
                switch socket.read(into: memory) {
                case .bytes(let count):
                    sawFirstFlight = true
                    inbound.append(UnsafeRawBufferPointer(rebasing: memory[..<count]), due: due)
                case .wouldBlock: break
                case let end:
                    inboundEnd = end
                    inbound.appendEnd(due: due)
                }
            }
        }
        scratch = []
    }

    private func pushDelayed(on loop: isolated Loop) {
        guard !isClosed else { return }
        let now = ContinuousClock.now
        while socket.mayWrite {
            guard let result = outbound.withDue(at: now, { socket.write($0) }) else { break }
            switch result {
            case .wrote(let count): outbound.consume(count)
            case .wouldBlock: return
            case .failed:
                // The owner learns it from reading; without one there is nobody left to tell.
                outbound = DelayLine()
                if owner == nil { finish(on: loop) }
                return
            }
        }
        guard outbound.hasEnded(at: now) else { return }
        switch writeEnd {
        case .none: break
        case .shutdown:
            socket.shutdownWrite()
            outbound = DelayLine()
        case .close: finish(on: loop)
        }
    }

    /// Sees to it that the next bytes to come out are not forgotten.
    private func arm(on loop: isolated Loop) {
        guard !isDirect, !isClosed else { return }
        if let timer { loop.cancel(timer) }
        timer = nil
        // Bytes that are due and cannot be written wait for the socket, those that the owner leaves wait for the owner.
        let out = socket.mayWrite ? outbound.nextDue : nil
        let inward = inbound.nextDue.flatMap { $0 > toldUntil ? $0 : nil }
        guard let next = [out, inward].compactMap({ $0 }).min() else { return }
        timer = loop.schedule(at: next) { [weak self] in
            guard let self else { return }
            timer = nil
            pushDelayed(on: loop)
            tellOwner(on: loop)
        }
    }
}
