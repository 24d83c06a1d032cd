import Glibc
import InstanceConnect
import SocketIO
import Synchronization
import TestSupport
import Transport
import Tunnels
import WebSocket

/// A value that one thread leaves for another.
final class Box<Value: Sendable>: Sendable {
    private let state = Mutex<Value?>(nil)

    var value: Value? {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

enum FrameText {
    static func frame(_ opcode: Opcode, _ text: String, final: Bool = true) -> [UInt8] {
        FrameEncoder.frame(opcode, isFinal: final, payload: Array(text.utf8), maskingKey: nil)
    }
}

/// Connected TCP sockets that a process holds and that have one of `ports` at either end.
func heldSockets(ports: [UInt16]) throws -> Int {
    guard let table = contents(of: "/proc/net/tcp") else { throw TestFailure("no /proc/net/tcp") }
    return table.split(separator: "\n").dropFirst().count { line in
        // proc(5): local address, remote address, state, and the inode in the tenth field.
        let fields = line.split(separator: " ")
        guard fields.count > 9, fields[3] != "0A", fields[9] != "0" else { return false }
        return fields[1...2].contains { address in
            address.split(separator: ":").last.flatMap { UInt16($0, radix: 16) }.map(ports.contains) ?? false
        }
    }
}

extension TunnelTimeouts {
    /// Those of a tunnel whose test is not about them: what takes a user's machine its time may take a busy one several times that.
    static var patient: Self {
        var timeouts = Self()
        let steps: [WritableKeyPath<Self, Duration>] = [
            \.resolve, \.queue, \.firstBytes, \.dial,
        ]
        for step in steps { timeouts[keyPath: step] *= Patience.factor }
        return timeouts
    }
}

extension DialTimeouts {
    /// As ``TunnelTimeouts/patient``.
    static var patient: Self {
        var timeouts = Self()
        let phases: [WritableKeyPath<Self, Duration>] = [\.connect, \.proxy, \.tls, \.upgrade]
        for phase in phases { timeouts[keyPath: phase] *= Patience.factor }
        return timeouts
    }
}

/// Phases of a transport, for state machines alone.
extension DialPhase {
    static let connect = Self(id: "connect", name: "TCP connect", limit: .seconds(10))
    static let tls = Self(id: "tls", name: "TLS handshake", limit: .seconds(8))
    static let upgrade = Self(id: "upgrade", name: "WebSocket upgrade", limit: .seconds(11))
}
