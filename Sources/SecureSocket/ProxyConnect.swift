import Basics
import Failures
import OpenSSL
import SocketIO
import WebSocket

/// Asks a proxy for a connection: TLS with it if its URL says so, CONNECT, and its answer. Confined to one loop.
///
/// It has no deadline: its owner cancels it.
final class ProxyConnect: StreamSocketOwner {
    private enum Layer {
        case plain(StreamSocket)
        case tls(TLSConnection)
    }

    private let proxy: ProxyServer
    private let target: HostAndPort
    private let request: [UInt8]
    private var layer: Layer?
    /// Nil until the request is sent.
    private var parser: ConnectResponseParser?
    private var completion: ((Result<HostPath, Failure>) -> Void)?

    /// Begins on a socket that is connected to the proxy; `completion` comes later, once, unless `cancel` comes first.
    ///
    /// - Parameter target: what the proxy is asked for.
    init(
        _ descriptor: FileDescriptor, to proxy: ProxyServer, for target: HostAndPort, settings: HostConnect.Settings,
        on loop: isolated Loop, completion: @escaping (Result<HostPath, Failure>) -> Void
    ) throws(Failure) {
        self.proxy = proxy
        self.target = target
        self.completion = completion
        request = proxy.connectRequest(toHost: target.host, port: target.port, userAgent: settings.userAgent)
        do {
            let session =
                proxy.isTLS ? try TLSSession(context: settings.tls, serverName: proxy.host, port: proxy.port) : nil
            // Its first call comes with the loop's next turn: a fresh socket can be written.
            let socket = try StreamSocket(descriptor, owner: self, on: loop)
            layer = session.map { .tls(TLSConnection(over: .socket(socket), session: $0)) } ?? .plain(socket)
        } catch {
            throw Failure(.internal, "cannot talk to proxy \(proxy)", why: "\(error)")
        }
    }

    func cancel(on loop: isolated Loop) {
        completion = nil
        switch layer {
        case .plain(let socket): socket.close(on: loop)
        case .tls(let connection): connection.close(on: loop)
        case nil: break
        }
        layer = nil
    }

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
        do throws(Failure) {
            if parser == nil {
                guard try sendRequest(on: loop) else { return }
                parser = ConnectResponseParser()
            }
            if try readAnswer(on: loop) { finish(on: loop) }
        } catch {
            fail(error, on: loop)
        }
    }

    func isQuiet(_ socket: StreamSocket, on loop: isolated Loop) {
        if case .tls(let connection) = layer { connection.rest() }
    }

    // MARK: Request

    /// Returns whether all of it is on its way.
    private func sendRequest(on loop: isolated Loop) throws(Failure) -> Bool {
        switch layer {
        case nil: return false
        case .plain(let socket):
            // A fresh socket takes so little at once.
            switch request.withUnsafeBytes({ socket.write($0) }) {
            case .wrote(request.count): return true
            case .wrote, .wouldBlock: throw lost("while it was asked", nil)
            case .failed(let error): throw lost("while it was asked", .socket(error))
            }
        case .tls(let connection):
            switch connection.handshake(on: loop) {
            case .blocked: return false
            case .failed(let error): throw handshakeFailure(error)
            case .done: break
            }
            let sent = request.withUnsafeBytes { connection.write($0, on: loop) }
            if case .failed(let error) = sent { throw lost("while it was asked", error) }
            return true
        }
    }

    // MARK: Answer

    /// Returns whether the way is open.
    private func readAnswer(on loop: isolated Loop) throws(Failure) -> Bool {
        if case .tls(let connection) = layer, case .failed(let error) = connection.flush(on: loop) {
            throw lost("while it was asked", error)
        }
        let buffer = loop.buffers.borrow()
        defer { loop.buffers.giveBack(buffer) }
        while true {
            guard let count = try read(into: buffer.memory, on: loop) else { return false }
            let bytes = UnsafeRawBufferPointer(rebasing: buffer.memory[..<count])
            switch parser?.feed(bytes) {
            case .needMore: continue
            case .connected: return true
            case .refused(let head):
                throw proxy.refusal(status: head.status, reason: head.reason, toHost: target.host)
            case .violation(let sentence):
                throw Failure(
                    .upgradeRefused, "proxy \(proxy) gave no valid answer to CONNECT", why: sentence,
                    hint: "is it an HTTP proxy? HTTPS_PROXY names it")
            case nil: return false
            }
        }
    }

    /// Nil where nothing is there yet.
    private func read(into memory: UnsafeMutableRawBufferPointer, on loop: isolated Loop) throws(Failure) -> Int? {
        switch layer {
        case nil: return nil
        case .plain(let socket):
            guard socket.mayRead else { return nil }
            switch socket.read(into: memory) {
            case .bytes(let count): return count
            case .wouldBlock: return nil
            case .endOfFile: throw lost("before its answer", nil)
            case .failed(let error): throw lost("before its answer", .socket(error))
            }
        case .tls(let connection):
            guard connection.mayRead else { return nil }
            switch connection.read(into: memory, on: loop) {
            case .bytes(let count): return count
            case .wouldBlock: return nil
            case .ended: throw lost("before its answer", nil)
            case .failed(let error): throw lost("before its answer", error)
            }
        }
    }

    // MARK: Ends

    private func finish(on loop: isolated Loop) {
        guard let layer, let completion else { return }
        self.layer = nil
        self.completion = nil
        switch layer {
        case .plain(let socket): completion(.success(.socket(socket.detach(on: loop))))
        case .tls(let connection): completion(.success(.proxy(connection)))
        }
    }

    private func fail(_ failure: Failure, on loop: isolated Loop) {
        let completion = completion
        cancel(on: loop)
        completion?(.failure(failure))
    }

    private func handshakeFailure(_ error: TransportError) -> Failure {
        guard let tls = error.flaw else { return lost("during the TLS handshake", error) }
        return Failure(
            .tls, "TLS with proxy \(proxy) failed", why: tls.reason,
            hint: tls.hint(
                otherwise:
                    "AWS_CA_BUNDLE names trust roots; for a proxy that speaks plain HTTP use http:// in HTTPS_PROXY"))
    }

    private func lost(_ when: String, _ error: TransportError?) -> Failure {
        Failure(.connectionLost, "proxy \(proxy) ended the connection \(when)", why: error?.reason ?? "end of file")
    }
}
