import ControlProtocol
import Failures
import SocketIO
import Tunnels

/// Finds out whether a forward's target answers: dials as for a client, and waits for the target's first bytes. Confined
/// to the control loop.
///
/// An SSH server speaks first (RFC 4253, section 4.2). An RDP server answers the X.224 Connection Request (MS-RDPBCGR,
/// section 2.2.1.1), so that one is sent to port 3389. Of any other port an open tunnel is all that can be known.
final class ForwardProbe: TunnelClient, StreamSocketOwner {
    typealias Completion = (Result<ForwardProbeResult, Failure>) -> Void

    private static let rdpRequest: [UInt8] = [
        // TPKT: version 3, 19 bytes. X.224: 14 more, Connection Request. RDP_NEG_REQ: TLS, CredSSP.
        0x03, 0x00, 0x00, 0x13, 0x0E, 0xE0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x08, 0x00, 0x0B, 0x00, 0x00,
        0x00,
    ]
    /// As long as a tunnel waits for the banner of port 22.
    private static let answerTimeout = TunnelTimeouts().firstBytes

    private let name: String
    private let remotePort: UInt16
    private let target: String
    private let began = ContinuousClock.now
    private var completion: Completion?
    private var handle: TunnelHandle?
    private var socket: StreamSocket?
    private var deadlines: [Deadline] = []

    /// - Parameter completion: comes once, on the loop.
    init(_ forward: Forward, completion: @escaping Completion) {
        name = forward.specification.name
        remotePort = forward.specification.route.remotePort
        target = "\(forward.specification.route.target):\(remotePort)"
        self.completion = completion
    }

    /// Begins.
    ///
    /// - Parameters:
    ///   - peer: who asked, for the log and the audit.
    ///   - timeout: ends the attempt; nil: the dial's own deadlines do.
    /// - Returns: the tunnel, whose end must be told with ``ended(_:on:)``.
    func start(
        _ forward: Forward, peer: PeerCredentials, timeout: Duration?, in tunnels: TunnelTable, on loop: isolated Loop
    ) -> TunnelHandle {
        let specification = forward.specification
        var request = TunnelRequest(
            route: specification.route, forward: name, peer: "probe of pid \(peer.pid), uid \(peer.uid)",
            maxDuration: specification.maxDuration, waitsForTarget: ServerPort.speaksFirst(remotePort))
        request.identity = ClientIdentity(peer)
        let handle = tunnels.open(request, local: nil, client: self, on: loop)
        self.handle = handle
        if let timeout {
            deadlines.append(
                loop.schedule(after: timeout) { [weak self] in
                    guard let self else { return }
                    finish(.failure(silence(for: timeout)), on: loop)
                })
        }
        return handle
    }

    func tunnelOpened(_ handle: TunnelHandle, on loop: isolated Loop) -> LocalStream? {
        guard completion != nil else { return nil }
        do throws(SystemError) {
            let (ours, theirs) = try FileDescriptor.socketPair()
            try ours.setNonBlocking()
            try theirs.setNonBlocking()
            let socket = try StreamSocket(ours, owner: self, on: loop)
            self.socket = socket
            guard remotePort == 3389 else {
                answered(handle, on: loop)
                return LocalStream(theirs)
            }
            _ = Self.rdpRequest.withUnsafeBytes { socket.write($0) }
            deadlines.append(
                loop.schedule(after: Self.answerTimeout) { [weak self] in
                    guard let self else { return }
                    finish(.failure(silence(for: Self.answerTimeout)), on: loop)
                })
            return LocalStream(theirs)
        } catch {
            finish(.failure(Failure(.internal, "cannot make a socket for the probe", why: error.reason)), on: loop)
            return nil
        }
    }

    func tunnelFailed(_ reason: CloseReason, on loop: isolated Loop) { finish(.failure(failure(reason)), on: loop) }

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
        withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 1) { memory in
            while socket.mayRead {
                switch socket.read(into: memory) {
                // Read to the end, whatever it is: a tunnel waits until its last bytes are taken.
                case .bytes: if let handle { answered(handle, on: loop) }
                case .wouldBlock: return
                case .endOfFile, .failed:
                    // The tunnel is at its end, and tells why once it is there.
                    closeSocket(on: loop)
                    return
                }
            }
        }
    }

    private func closeSocket(on loop: isolated Loop) {
        socket?.close(on: loop)
        socket = nil
    }

    /// The tunnel is over.
    func ended(_ end: EndedTunnel, on loop: isolated Loop) {
        closeSocket(on: loop)
        finish(.failure(failure(end.reason)), on: loop)
    }

    private func answered(_ handle: TunnelHandle, on loop: isolated Loop) {
        let route = handle.snapshot.route
        let milliseconds = Int(began.duration(to: .now) / .milliseconds(1))
        finish(
            .success(
                ForwardProbeResult(
                    forward: name, tunnel: handle.name, address: route?.address, endpoint: route?.path.gateway.id,
                    milliseconds: milliseconds)), on: loop)
    }

    private func finish(_ result: Result<ForwardProbeResult, Failure>, on loop: isolated Loop) {
        guard let completion else { return }
        self.completion = nil
        for deadline in deadlines { loop.cancel(deadline) }
        deadlines = []
        // Our end stays until the tunnel is over: closed now, its end would read as a client's that left.
        handle?.close(.requested("the probe is over"))
        completion(result)
    }

    private func failure(_ reason: CloseReason) -> Failure {
        reason.failure
            ?? Failure(
                .connectionLost, "the probe of \(name) was closed before \(target) answered", why: reason.sentence)
    }

    private func silence(for length: Duration) -> Failure {
        Failure(
            .deadline, "\(target) did not answer within \(DurationText.format(length))",
            hint: "eicectl status shows what failed last")
    }
}

/// The probes under way. Confined to the control loop.
final class ForwardProbes {
    private var probes: [UInt64: ForwardProbe] = [:]

    func begin(
        _ forward: Forward, peer: PeerCredentials, timeout: Duration?, in tunnels: TunnelTable,
        on loop: isolated Loop, completion: @escaping ForwardProbe.Completion
    ) {
        let probe = ForwardProbe(forward, completion: completion)
        let handle = probe.start(forward, peer: peer, timeout: timeout, in: tunnels, on: loop)
        probes[handle.id] = probe
    }

    /// To be told of each tunnel's end, whoever asked for it.
    func note(_ end: EndedTunnel, on loop: isolated Loop) {
        probes.removeValue(forKey: end.handle.id)?.ended(end, on: loop)
    }
}
