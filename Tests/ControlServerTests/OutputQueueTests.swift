import Glibc
import SocketIO
import TestSupport
import Testing

@testable import ControlServer

@Suite struct OutputQueueTests {
    private final class Owner: StreamSocketOwner {
        func isReady(_ socket: StreamSocket, on loop: isolated Loop) {}
    }

    /// Plays with a queue and a socket on a loop; `far` is the socket's other end, which does not block.
    private func play<Value: Sendable>(
        _ body: @escaping @Sendable (inout OutputQueue, StreamSocket, FileDescriptor) -> Value
    ) async throws -> Value {
        let loop = try Loop(label: "test")
        let (near, far) = try FileDescriptor.socketPair()
        try far.setNonBlocking()
        return try await handedOver { done in
            loop.submit { loop in
                let owner = Owner()
                var queue = OutputQueue()
                done(
                    Result {
                        let socket = try StreamSocket(near, owner: owner, on: loop)
                        defer { socket.close(on: loop) }
                        return body(&queue, socket, far)
                    })
            }
        }.get()
    }

    private static func read(_ descriptor: FileDescriptor, _ limit: Int = 1 << 20) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = recv(descriptor.raw, &bytes, limit, 0)
        return Array(bytes.prefix(max(0, count)))
    }

    @Test("lines leave in their order, and nothing waits then")
    func order() async throws {
        let (outcome, pending, isEmpty, got) = try await play { queue, socket, far in
            queue.append([1, 2])
            queue.append([3])
            queue.append([4, 5, 6])
            let before = queue.pending
            let outcome = queue.write(to: socket)
            return (outcome, [before, queue.pending], queue.isEmpty, Self.read(far))
        }
        #expect(outcome == .empty && isEmpty)
        #expect(pending == [6, 0])
        #expect(got == [1, 2, 3, 4, 5, 6])
    }

    @Test("a line that does not fit goes on where it stopped, and the count of its bytes is right all the time")
    func partialWrites() async throws {
        let lines = (0..<6).map { number in [UInt8](repeating: UInt8(number), count: 150_000 + number) }
        let (right, got) = try await play { queue, socket, far in
            for line in lines { queue.append(line) }
            let total = lines.joined().count
            var (got, right) = ([UInt8](), true)
            while true {
                let outcome = queue.write(to: socket)
                let more = Self.read(far)
                right = right && (outcome == .blocked) == !queue.isEmpty
                got += more
                while true {
                    let rest = Self.read(far)
                    if rest.isEmpty { break }
                    got += rest
                }
                right = right && queue.pending == total - got.count
                if outcome != .blocked { return (right && outcome == .empty, got) }
            }
        }
        // Not compared within the expectation, which would print all of it.
        let isWhole = got == Array(lines.joined())
        #expect(right && isWhole)
    }

    @Test("what another owner takes over is what was not written yet")
    func takeAll() async throws {
        let (taken, written, pending, isEmpty) = try await play { queue, socket, far in
            queue.append([9])
            queue.append([UInt8](repeating: 7, count: 2_000_000))
            queue.append([8])
            _ = queue.write(to: socket)
            let taken = queue.takeAll()
            var written: [UInt8] = []
            while true {
                let more = Self.read(far)
                if more.isEmpty { break }
                written += more
            }
            return (taken, written, queue.pending, queue.isEmpty)
        }
        let isWhole = written + taken == [9] + [UInt8](repeating: 7, count: 2_000_000) + [8]
        #expect(isWhole)
        #expect(!taken.isEmpty && pending == 0 && isEmpty)
    }

    @Test("a descriptor rides with its line, and is closed here once it is sent")
    func descriptor() async throws {
        let (near, far) = try FileDescriptor.socketPair()
        let (isClosed, got) = try await play { queue, socket, other in
            queue.append([1])
            queue.append([2, 3], passing: near)
            queue.append([4])
            _ = queue.write(to: socket)
            // A read of a socket ends where a descriptor came along.
            return (!near.isOpen, Self.read(other, 3) + Self.read(other))
        }
        #expect(isClosed)
        #expect(got == [1, 2, 3, 4])
        far.close()
    }

    @Test("a peer that is gone fails the queue")
    func goneQueue() async throws {
        let outcome = try await play { queue, socket, far in
            far.close()
            queue.append([1])
            return queue.write(to: socket)
        }
        #expect(outcome == .failed(SystemError("write", code: EPIPE)))
    }
}
