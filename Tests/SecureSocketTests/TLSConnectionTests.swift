import OpenSSL
import SecureSocket
import SocketIO
import TestSupport
import Testing

/// A TLS connection in the server's role, with a client that blocks.
@Suite struct TLSConnectionTests {
    /// Sends back all that it receives. Owns itself until the client ends TLS.
    private final class Echo: StreamSocketOwner {
        private var connection: TLSConnection?
        private var isOpen = false
        private let onEnd: (TLSConnection.ReadResult) -> Void

        init(
            _ descriptor: FileDescriptor, _ certificates: Certificates, on loop: isolated Loop,
            wrapping wrap: (StreamSocket) -> TLSConnection.Carrier,
            onEnd: @escaping (TLSConnection.ReadResult) -> Void
        ) throws {
            self.onEnd = onEnd
            let socket = try StreamSocket(descriptor, owner: nil, on: loop)
            socket.give(to: self)
            connection = TLSConnection(over: wrap(socket), session: try TLSSession(server: certificates.context))
        }

        func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
            guard let connection else { return }
            if !isOpen {
                guard connection.handshake(on: loop) == .done else { return }
                isOpen = true
            }
            let buffer = loop.buffers.borrow()
            defer { loop.buffers.giveBack(buffer) }
            guard connection.flush(on: loop) == .done else { return }
            while connection.mayWrite {
                let memory = UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<(32 << 10)])
                let result = connection.read(into: memory, on: loop)
                switch result {
                case .bytes(let count):
                    _ = connection.write(UnsafeRawBufferPointer(rebasing: memory[..<count]), on: loop)
                case .wouldBlock: return
                case .ended, .failed:
                    connection.close(on: loop)
                    self.connection = nil
                    onEnd(result)
                    return
                }
            }
        }
    }

    /// A carrier that takes and gives little at a time.
    private final class Trickle: TLSCarrier {
        let socket: StreamSocket

        init(_ socket: StreamSocket) { self.socket = socket }

        var mayRead: Bool { socket.mayRead }

        func read(into memory: UnsafeMutableRawBufferPointer, on loop: isolated Loop) -> StreamSocket.ReadResult {
            socket.read(into: UnsafeMutableRawBufferPointer(rebasing: memory.prefix(700)))
        }

        func write(_ bytes: UnsafeRawBufferPointer, on loop: isolated Loop) -> StreamSocket.WriteResult {
            guard socket.mayWrite else { return .wouldBlock }
            return socket.write(UnsafeRawBufferPointer(rebasing: bytes.prefix(700)))
        }

        func close(on loop: isolated Loop) { socket.close(on: loop) }
    }

    @Test("a server returns what it receives, whatever carries its records", arguments: [false, true])
    func echo(trickles: Bool) async throws {
        let certificates = try Certificates()
        let (near, far) = try FileDescriptor.socketPair()
        let loop = try Loop(label: "test")
        let length = 70_000
        async let end: String = handedOver { done in
            loop.submit { loop in
                do {
                    var echo: Echo?
                    echo = try Echo(
                        near, certificates, on: loop, wrapping: { trickles ? .other(Trickle($0)) : .socket($0) }
                    ) { end in
                        withExtendedLifetime(echo) { done("\(end), \(loop.buffers.lent - 1) buffers lent") }
                        echo = nil
                    }
                } catch {
                    done("\(error)")
                }
            }
        }
        try await onThread {
            let socket = LoopbackSocket(takingOwnership: far.take())
            let tls = try certificates.client(socket)
            for round in 0..<5 {
                let sent = Pattern().bytes(round * length..<(round + 1) * length)
                try tls.write(sent)
                var received: [UInt8] = []
                while received.count < length {
                    let more = try tls.read()
                    guard !more.isEmpty else { throw TestFailure("the server ended after \(received.count) bytes") }
                    received += more
                }
                #expect(received == sent)
            }
            try tls.sendCloseNotify()
        }
        #expect(await end == "ended, 0 buffers lent")
    }
}
