import Glibc
import SocketIO
import Synchronization
import TestSupport
import Testing

/// Clients that stop sending at any moment and go on reading, a thousand times, at random: not a byte is lost either way.
@Suite struct HalfCloseTests {
    /// What one connection does; the first 24 bytes tell the target.
    private struct Conversation {
        /// Bytes each way.
        var up: Int
        var down: Int
        /// Whether the target waits for all that it gets before it sends.
        var answersAfterAll: Bool
        /// Whether the client comes by the Unix socket.
        var overUnix: Bool

        init(number: Int) {
            var random = SeededGenerator(seed: UInt64(number) &+ 4_711)
            // Mostly short, now and then more than all buffers between hold.
            func size() -> Int {
                Int.random(in: 0..<10, using: &random) == 0
                    ? Int.random(in: 0..<3_000_000, using: &random) : Int.random(in: 0..<40_000, using: &random)
            }
            up = size()
            down = size()
            answersAfterAll = Bool.random(using: &random)
            overUnix = Bool.random(using: &random)
        }

        var head: [UInt8] {
            [up, down, answersAfterAll ? 1 : 0].flatMap { number in
                withUnsafeBytes(of: UInt64(number).littleEndian) { Array($0) }
            }
        }
    }

    private static let upward = Pattern(seed: 5)
    private static let downward = Pattern(seed: 6)

    /// The instance's service: reads what was announced, and sends what was asked for.
    private static func target(_ complaints: Complaints) throws -> LoopbackServer {
        try LoopbackServer { socket in
            let head = try socket.read(exactly: 24)
            guard head.count == 24 else { return complaints.add("a connection without its head") }
            let numbers = head.withUnsafeBytes { bytes in
                (0..<3).map { Int(bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)) }
            }
            func listen() throws {
                // The wire has no half-close: the end of the client's bytes is not told to the target.
                let got = try upward.verify(numbers[0], from: socket)
                if got != numbers[0] { complaints.add("\(got) of \(numbers[0]) bytes came up") }
            }
            if numbers[2] == 1 {
                try listen()
                try downward.send(numbers[1], on: socket)
                return
            }
            // Both at once; the end of ours comes last, since it ends the tunnel.
            let sender = try Joined { try downward.send(numbers[1], on: socket) }
            try listen()
            try sender.wait()
        }
    }

    @Test(.timeLimit(.minutes(10)))
    func aThousandHalfClosesLoseNothing() async throws {
        let complaints = Complaints()
        let target = try Self.target(complaints)
        try await Scene.play(port: target.port, timeouts: ["drain": "30s"]) { scene in
            let path = scene.daemon.directory("half.sock")
            let port = try await scene.add(Scene.web, "--name", "tcp").port
            _ = try await scene.daemon.add([Scene.web, "22:\(path)", "--name", "unix"])
            let before = try #require(scene.daemon.process.facts.descriptorCount)
            let next = Counter()
            let moved = Counter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<12 {
                    group.addTask {
                        while true {
                            let number = next.add(1)
                            guard number <= 1_000 else { return }
                            let conversation = Conversation(number: number)
                            let got = try await onThread { try Self.converse(conversation, port: port, path: path) }
                            if got != conversation.down {
                                complaints.add("\(number): \(got) of \(conversation.down) bytes came down")
                            }
                            moved.add(conversation.up + conversation.down)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(complaints.all == [])
            #expect(target.acceptedCount == 1_000)
            try await scene.daemon.waitForTunnels(open: 0)
            try await eventually("descriptors are back") {
                try #require(scene.daemon.process.facts.descriptorCount) <= before
            }
            tell(figure: "half_closes_whole", target.acceptedCount - complaints.all.count)
            tell(figure: "half_closes_mebibytes", moved.add(0) >> 20)
        }
    }

    private static func converse(_ conversation: Conversation, port: UInt16, path: String) throws -> Int {
        let socket =
            conversation.overUnix ? try LoopbackSocket.connect(path: path) : try LoopbackSocket.connect(port: port)
        defer { socket.close() }
        let sender = try Joined {
            try socket.write(conversation.head)
            try upward.send(conversation.up, on: socket)
            socket.shutdownWrite()
        }
        let got = try downward.verify(from: socket)
        try sender.wait()
        return got
    }
}

private final class Counter: Sendable {
    private let value = Mutex(0)

    /// The sum with it.
    @discardableResult
    func add(_ count: Int) -> Int {
        value.withLock { value in
            value += count
            return value
        }
    }
}

/// What went wrong on other threads.
private final class Complaints: Sendable {
    private let list = Mutex<[String]>([])
    func add(_ text: String) { list.withLock { $0.append(text) } }
    var all: [String] { list.withLock { $0 } }
}
