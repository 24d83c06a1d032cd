import Glibc
import OpenSSL
import SocketIO
import WebSocket

/// What goes wrong on purpose, at each stage.
extension TunnelConnection {
    func strikeAtAccept(_ fault: Fault, on loop: isolated Loop) {
        service.log.info("\(requestID): fault \(fault.kind.rawValue)")
        switch fault.kind {
        case .reset: end(with: .reset, on: loop)
        case .closeTCP: end(with: .endOfFile, on: loop)
        case .garbage: end(with: .garbage, on: loop)
        default: hold(on: loop)
        }
    }

    func strikeAtUpgrade(_ fault: Fault, key: String, on loop: isolated Loop) {
        service.log.info("\(requestID): fault \(fault.kind.rawValue)")
        switch fault.kind {
        case .refuse:
            let status = fault.status ?? 503
            let body = fault.body ?? #"{"ErrorCode":"ServiceUnavailable","Message":"Service is unavailable."}"#
            respond(status, body: Array(body.utf8), on: loop)
        case .closeBeforeResponse: end(with: .closeNotify, on: loop)
        case .halfResponse: answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs", on: loop)
        case .garbageResponse: answer("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", on: loop)
        case .badAccept:
            // The right answer to another key: "the sample nonce" of RFC 6455, section 1.3.
            let bytes = UpgradeResponse.accepting(key: "dGhlIHNhbXBsZSBub25jZQ==")
            answer(String(decoding: bytes, as: UTF8.self), on: loop)
        case .noUpgrade: respond(200, body: Array(#"{"Message":"hello"}"#.utf8), on: loop)
        case .subprotocol:
            let headers = HTTPHeaders([.init("Sec-WebSocket-Protocol", "chat")])
            answer(String(decoding: UpgradeResponse.accepting(key: key, headers: headers), as: UTF8.self), on: loop)
        default: hold(on: loop)
        }
    }

    private func answer(_ text: String, on loop: isolated Loop) {
        service.state.count { $0.refused += 1 }
        send(Array(text.utf8), on: loop)
        end(with: .closeNotify, on: loop)
    }

    // MARK: In the open tunnel

    /// How many more of the target's bytes go through before the fault strikes; nil for no fault.
    var bytesUntilFault: Int? { openFault.map { max(0, ($0.after ?? 0) - bytesToClient) } }

    func strikeIfDue(on loop: isolated Loop) {
        guard let fault = openFault, bytesUntilFault == 0, phase == .open else { return }
        openFault = nil
        service.log.info("\(requestID): fault \(fault.kind.rawValue)")
        switch fault.kind {
        case .close: close(CloseCode(rawValue: fault.code ?? 1_011), fault.reason ?? "", on: loop)
        case .drop: end(with: .endOfFile, on: loop)
        case .tlsEnd: end(with: .closeNotify, on: loop)
        case .resetOpen: end(with: .reset, on: loop)
        case .garbageRecord: end(with: .garbage, on: loop)
        case .silent: hold(on: loop)
        default: send(fault.rawFrame ?? [], on: loop)
        }
    }

    /// Neither reads nor writes from here on. Ends when the client leaves, or with the emulator.
    private func hold(on loop: isolated Loop) {
        _ = flush(on: loop)
        guard phase != .closed else { return }
        removeLimit(on: loop)
        connector?.cancel(on: loop)
        connector = nil
        phase = .held
    }
}
