import Synchronization
import TestSupport
import Testing

@testable import SocketIO

@Suite struct ListenerTests {
    /// What the listener asks and tells; from its loop alone but for the test.
    private final class Story: Sendable {
        let reserve = Mutex(Int(Int32.max))
        let troubles = Mutex<[SystemError]>([])
        let accepted = Mutex(0)
    }

    @Test func itAcceptsOnlyWhileAsManyDescriptorsAreFreeAsAreNeededAndSaysSoOnce() async throws {
        let loop = try Loop(label: "test")
        let descriptor = try Listener.bind(to: #require(SocketAddress(ip: "127.0.0.1", port: 0)))
        let port = try #require(SocketAddress.local(of: descriptor)?.port)
        let story = Story()
        let bound: LoopBound<Listener>? = await withCheckedContinuation { continuation in
            loop.submit { loop in
                let listener = try? Listener(
                    adopting: descriptor, on: loop, reserve: { story.reserve.withLock { $0 } },
                    onTrouble: { error in story.troubles.withLock { $0.append(error) } },
                    onAccept: { connection in
                        // Before the client can see it.
                        story.accepted.withLock { $0 += 1 }
                        connection.close()
                    })
                continuation.resume(returning: listener.map { LoopBound($0, on: loop) })
            }
        }
        let listener = try #require(bound)
        let clients = try await onThread { try (0..<3).map { _ in try LoopbackSocket.connect(port: port) } }
        try await eventually("it says why it waits") { story.troubles.withLock { !$0.isEmpty } }
        // Several attempts, each of which must find the same.
        try await letPass(.milliseconds(300))
        #expect(story.accepted.withLock { $0 } == 0)
        #expect(story.troubles.withLock { $0.map(\.reason) } == ["too many open files"])

        // By the clock of a thread of its own: tasks of other tests may have to run before this one goes on.
        let (bytes, length) = try await onThread {
            story.reserve.withLock { $0 = 1 }
            let began = ContinuousClock.now
            let bytes = try clients.flatMap { try $0.readToEndOrReset() }
            return (bytes, began.duration(to: .now))
        }
        #expect(bytes.isEmpty)
        #expect(length < .seconds(1) * Patience.factor)
        #expect(story.accepted.withLock { $0 } == 3)

        // The next time it is told again.
        story.reserve.withLock { $0 = Int(Int32.max) }
        let late = try await onThread { try LoopbackSocket.connect(port: port) }
        try await eventually("it says so again") { story.troubles.withLock { $0.count } == 2 }
        late.close()
        await withCheckedContinuation { continuation in
            loop.submit { loop in
                listener.get(on: loop).close(on: loop)
                continuation.resume()
            }
        }
    }

    /// Adopts a listening socket that already has connections.
    private func adopt(
        _ descriptor: FileDescriptor, _ story: Story, on loop: Loop,
        then: @escaping @Sendable (Listener, isolated Loop) -> Void = { _, _ in }
    ) async -> LoopBound<Listener>? {
        await handedOver { done in
            loop.submit { loop in
                let listener = try? Listener(
                    adopting: descriptor, on: loop,
                    onTrouble: { error in story.troubles.withLock { $0.append(error) } },
                    onAccept: { connection in
                        story.accepted.withLock { $0 += 1 }
                        connection.close()
                    })
                if let listener { then(listener, loop) }
                done(listener.map { LoopBound($0, on: loop) })
            }
        }
    }

    private func listening(with count: Int) async throws -> (FileDescriptor, [LoopbackSocket]) {
        let descriptor = try Listener.bind(to: #require(SocketAddress(ip: "127.0.0.1", port: 0)))
        let port = try #require(SocketAddress.local(of: descriptor)?.port)
        return (
            descriptor, try await onThread { try (0..<count).map { _ in try LoopbackSocket.connect(port: port) } }
        )
    }

    @Test("more connections than one turn takes are all accepted")
    func manyWaitingConnections() async throws {
        let (loop, story) = (try Loop(label: "test"), Story())
        let (descriptor, clients) = try await listening(with: 200)
        let listener = try #require(await adopt(descriptor, story, on: loop))
        try await eventually("all are accepted") { story.accepted.withLock { $0 } == 200 }
        #expect(story.troubles.withLock { $0.isEmpty })
        for client in clients { client.close() }
        await handedOver { done in
            loop.submit { loop in
                listener.get(on: loop).close(on: loop)
                done(())
            }
        }
        #expect(!descriptor.isOpen)
    }

    @Test("a listener that is about to close takes the connections that wait")
    func waitingConnectionsBeforeAClose() async throws {
        let (loop, story) = (try Loop(label: "test"), Story())
        let (descriptor, clients) = try await listening(with: 100)
        _ = await adopt(descriptor, story, on: loop) { listener, loop in
            listener.takeWaiting(on: loop)
            listener.close(on: loop)
            // Nothing is accepted from a socket that is closed.
            listener.takeWaiting(on: loop)
        }
        #expect(story.accepted.withLock { $0 } == 100)
        for client in clients { client.close() }
    }
}
