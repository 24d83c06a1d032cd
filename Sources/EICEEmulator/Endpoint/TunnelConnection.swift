import Glibc
import OpenSSL
import SecureSocket
import SocketIO
import WebSocket

/// One client of an endpoint: TLS, the request for a tunnel, the tunnel. Confined to one loop.
///
/// This file has its life and its end; `TunnelUpgrade` the request, `TunnelRelay` the two directions, `TunnelBytes`
/// what lies between them and the socket, `TunnelFaults` what goes wrong on purpose.
final class TunnelConnection: ClientSocketOwner, StreamSocketOwner {
    enum Phase {
        /// TLS's handshake.
        case handshake
        /// Reading the request.
        case request
        /// Bytes go both ways (the connection to the target may still be under way).
        case open
        /// One Close frame went out; the other is awaited, or what is left is delivered.
        case closing
        /// Nothing more is sent; the client's end of file is awaited, so that no reset overtakes what it has to read.
        case ending
        /// A fault holds the connection: nothing is read, nothing is written.
        case held
        case closed
    }

    let service: TunnelService
    let requestID = newRequestID()
    private let onEnd: (TunnelConnection) -> Void
    let client: ClientSocket
    private var limit: Deadline?
    var phase = Phase.handshake

    // TunnelBytes
    let tls: TLSConnection
    /// Plaintext that goes out before any more data does: responses and control frames.
    var control: [UInt8] = []
    /// What to do when everything is sent.
    var farewell: Farewell?

    // TunnelUpgrade
    var parser: HTTPRequestParser? = HTTPRequestParser()
    var tunnel: OpenTunnelRequest?
    var holdsSlot = false

    // TunnelRelay
    var webSocket = WebSocketStateMachine(role: .server)
    var target: StreamSocket?
    var connector: Connector?
    var targetIsGone = false
    /// Holds `pending` while the target does not take it.
    var plainIn: Buffer?
    /// What of `plainIn` the target must still get, as offsets in its memory.
    var pending = 0..<0
    var bytesFromClient = 0
    var bytesToClient = 0

    // TunnelFaults
    var openFault: Fault?

    /// How a connection ends once all that waits is sent.
    enum Farewell {
        /// TLS's close_notify, then TCP's end of file.
        case closeNotify
        /// TCP's end of file alone.
        case endOfFile
        /// Bytes that are no TLS, then an end of file.
        case garbage
        case reset
    }

    /// - Parameter onEnd: called once, when everything is released.
    init(
        _ descriptor: FileDescriptor, _ service: TunnelService, on loop: isolated Loop,
        onEnd: @escaping (TunnelConnection) -> Void
    ) throws(SystemError) {
        self.service = service
        self.onEnd = onEnd
        let fault = service.state.takeFault(.tls)
        let session: TLSSession
        do {
            session = try TLSSession(server: service.certificates.context(for: fault))
        } catch {
            throw SystemError("start TLS", code: ENOMEM)
        }
        client = try ClientSocket(descriptor, latency: service.latency, on: loop)
        tls = TLSConnection(over: .other(client), session: session)
        client.owner = self
        service.state.count {
            $0.connectionsOpen += 1
            $0.connectionsTotal += 1
        }
    }

    func start(on loop: isolated Loop) {
        limit(to: service.timeouts.request, on: loop)
        if let fault = service.state.takeFault(.tcp) { strikeAtAccept(fault, on: loop) }
        pump(on: loop)
    }

    // MARK: Turns

    func clientIsReady(on loop: isolated Loop) {
        // Both would stay unnoticed while nothing is read: by a fault, or because the target does not take more.
        guard !(phase == .held ? client.peerIsGone : client.isReset) else {
            finish(on: loop)
            return
        }
        pump(on: loop)
    }

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) { pump(on: loop) }

    /// Does all that can be done now. A phase that ends leads to the next one at once.
    func pump(on loop: isolated Loop) {
        var last: Phase
        repeat {
            last = phase
            switch phase {
            case .handshake: continueHandshake(on: loop)
            case .request: readRequest(on: loop)
            case .open, .closing: relay(on: loop)
            case .ending: discard(on: loop)
            case .held, .closed: break
            }
        } while phase != last && phase != .closed
        if phase != .closed { returnIdleBuffers(on: loop) }
    }

    private func continueHandshake(on loop: isolated Loop) {
        switch tls.handshake(on: loop) {
        case .blocked: break
        case .done:
            service.state.count { $0.handshakesTotal += 1 }
            phase = .request
        case .failed(let error):
            guard let flaw = error.flaw else { return finish(on: loop) }
            service.log.info("\(requestID): TLS handshake failed: \(flaw)")
            end(with: .endOfFile, on: loop)
        }
    }

    // MARK: The end

    /// Begins the close handshake (RFC 6455, section 7.1.2). Data that waits goes out before the Close frame.
    func close(_ code: CloseCode, _ reason: String, on loop: isolated Loop) {
        guard phase == .open else { return }
        service.log.info("\(requestID): closing with \(code) \(reason)")
        phase = .closing
        limit(to: service.timeouts.close, on: loop)
        closeTarget(on: loop)
        if let frame = webSocket.close(code, reason: reason, maskingKey: 0) { send(frame, on: loop) }
    }

    func closeByAdministrator(_ code: UInt16, _ reason: String, on loop: isolated Loop) {
        close(CloseCode(rawValue: code), reason, on: loop)
        pump(on: loop)
    }

    /// Sends what waits and then ends the connection so; the client's bytes no longer matter.
    func end(with farewell: Farewell, on loop: isolated Loop) {
        guard phase != .ending, phase != .closed else { return }
        phase = .ending
        self.farewell = farewell
        limit(to: service.timeouts.end + service.latency, on: loop)
        giveBackSlot()
        closeTarget(on: loop)
        sayFarewell(on: loop)
    }

    /// The last thing that is sent, once the rest is gone.
    func sayFarewell(on loop: isolated Loop) {
        guard let farewell, flush(on: loop) else { return }
        self.farewell = nil
        switch farewell {
        case .closeNotify: tls.sendCloseNotify(on: loop)
        case .endOfFile: break
        case .garbage: sendUnencrypted(Array("This is no TLS record.\r\n".utf8), on: loop)
        case .reset:
            client.abort(on: loop)
            finish(on: loop)
            return
        }
        client.shutdownWrite(on: loop)
    }

    private func discard(on loop: isolated Loop) {
        sayFarewell(on: loop)
        let buffer = loop.buffers.borrow()
        defer { loop.buffers.giveBack(buffer) }
        while phase == .ending {
            switch client.read(into: buffer.memory, on: loop) {
            case .bytes: continue
            case .wouldBlock: return
            case .endOfFile, .failed: finish(on: loop)
            }
        }
    }

    /// The one way out: releases everything, in this order.
    func finish(on loop: isolated Loop) {
        guard phase != .closed else { return }
        phase = .closed
        if let limit { loop.cancel(limit) }
        limit = nil
        closeTarget(on: loop)
        tls.close(on: loop)
        pending = 0..<0
        returnIdleBuffers(on: loop)
        giveBackSlot()
        service.state.count {
            $0.connectionsOpen -= 1
            $0.bytesFromClients += bytesFromClient
            $0.bytesToClients += bytesToClient
        }
        if let tunnel {
            service.log.info(
                "\(requestID): tunnel to \(tunnel.address):\(tunnel.port) ended, \(bytesFromClient) bytes in, \(bytesToClient) out"
            )
        }
        onEnd(self)
    }

    func giveBackSlot() {
        guard holdsSlot, let tunnel else { return }
        holdsSlot = false
        service.state.giveBack(slotOf: tunnel.endpoint.id)
    }

    // MARK: The deadline of the phase

    /// Ends the connection unless the phase ends first.
    func limit(to timeout: Duration, on loop: isolated Loop) {
        removeLimit(on: loop)
        limit = loop.schedule(after: timeout) { [weak self] in
            guard let self else { return }
            limit = nil
            service.log.info("\(requestID): the client took too long (\(phase))")
            finish(on: loop)
        }
    }

    /// Closes the tunnel when its time is over.
    func limitTunnel(to duration: Duration, on loop: isolated Loop) {
        removeLimit(on: loop)
        limit = loop.schedule(after: duration) { [weak self] in
            guard let self else { return }
            limit = nil
            // What the service says at this point is not published.
            close(.normal, "Max tunnel duration reached", on: loop)
            pump(on: loop)
        }
    }

    func removeLimit(on loop: isolated Loop) {
        if let limit { loop.cancel(limit) }
        limit = nil
    }
}
