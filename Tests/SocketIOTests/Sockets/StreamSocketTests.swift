import Glibc
import TestSupport
import Testing

@testable import SocketIO

@Suite struct StreamSocketTests {
    /// Keeps what a test wants to know about a socket when it is ready.
    private final class Watcher: StreamSocketOwner {
        private let look: (StreamSocket, isolated Loop) -> Void

        init(_ look: @escaping (StreamSocket, isolated Loop) -> Void) { self.look = look }

        func isReady(_ socket: StreamSocket, on loop: isolated Loop) { look(socket, loop) }
    }

    /// Whether another read is worth a system call after one of 100 bytes gave 5.
    private func mayReadAfterAShortRead(_ near: FileDescriptor, isShutDown: Bool = false) async throws -> Bool? {
        let loop = try Loop(label: "test")
        return await withCheckedContinuation { continuation in
            loop.submit { loop in
                var isDone = false
                let watcher = Watcher { socket, loop in
                    guard !isDone, !isShutDown || socket.peerShutDown else { return }
                    isDone = true
                    var memory = [UInt8](repeating: 0, count: 100)
                    let result = memory.withUnsafeMutableBytes { socket.read(into: $0) }
                    let mayRead = result == .bytes(5) ? socket.mayRead : nil
                    socket.close(on: loop)
                    continuation.resume(returning: mayRead)
                }
                do {
                    let socket = try StreamSocket(near, owner: watcher, on: loop)
                    // The socket does not keep its owner.
                    _ = loop.schedule(after: .seconds(60 * Patience.factor)) {
                        withExtendedLifetime((socket, watcher)) {}
                    }
                } catch {
                    continuation.resume(returning: nil)
                }
            }
        }
    }

    private func connectedPair() throws -> (near: FileDescriptor, far: LoopbackSocket) {
        let listener = try Listener.bind(to: #require(SocketAddress(ip: "127.0.0.1", port: 0)))
        defer { listener.close() }
        let far = try LoopbackSocket.connect(port: try #require(SocketAddress.local(of: listener)?.port))
        let near = accept(listener.raw, nil, nil)
        try #require(near >= 0)
        return (FileDescriptor(takingOwnership: near), far)
    }

    @Test("a short read from TCP means that the kernel has no more, unless the peer has finished")
    func tcp() async throws {
        let pair = try connectedPair()
        try pair.far.write("hello")
        #expect(try await mayReadAfterAShortRead(pair.near) == false)
        pair.far.close()
        let finished = try connectedPair()
        try finished.far.write("hello")
        finished.far.shutdownWrite()
        #expect(try await mayReadAfterAShortRead(finished.near, isShutDown: true) == true)
        finished.far.close()
    }

    @Test("a short read from a Unix socket may end where descriptors were sent, with more bytes behind them")
    func unix() async throws {
        let (near, far) = try FileDescriptor.socketPair()
        #expect(write(far.raw, "hello", 5) == 5)
        #expect(try await mayReadAfterAShortRead(near) == true)
        far.close()
    }

    @Test(
        "this host alone reaches 127.0.0.0/8, ::1 and Unix sockets",
        arguments: [
            ("127.0.0.1", true), ("127.0.0.2", true), ("127.255.255.254", true), ("126.255.255.255", false),
            ("128.0.0.1", false), ("10.0.0.1", false), ("::1", true), ("::2", false), ("::", false),
            ("::7f00:1", false),
            ("1::1", false),
        ])
    func loopback(ip: String, isLoopback: Bool) throws {
        #expect(try #require(SocketAddress(ip: ip, port: 22)).isLoopback == isLoopback)
    }
}
