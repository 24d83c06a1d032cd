import TestSupport

/// What one session carries; its head tells the target. Both sides know every byte of it, so that each can tell one that was
/// lost, doubled or altered.
///
/// A round is `up` bytes one way and `down` bytes the other. After the last round the target says in one byte whether it got
/// all of its own: only then does the client know that the session was whole.
struct Conversation: Hashable, Sendable {
    var rounds = 1
    /// Bytes to the target, in each round.
    var up = 0
    /// Bytes from the target, in each round.
    var down = 0
    /// Whether both directions go at once; else the target sends when it has received.
    var isDuplex = false
    /// Whether the client ends its side when it has sent, and reads on to the end.
    var halfCloses = false

    static let headLength = 32
    static let whole: UInt8 = 0x06
    static let broken: UInt8 = 0x15

    static let upward = Pattern(seed: 11)
    static let downward = Pattern(seed: 12)

    /// Bytes of payload, both ways.
    var size: Int { rounds * (up + down) }

    init(rounds: Int = 1, up: Int, down: Int, isDuplex: Bool = false, halfCloses: Bool = false) {
        self.rounds = rounds
        self.up = up
        self.down = down
        self.isDuplex = isDuplex
        self.halfCloses = halfCloses
    }

    var head: [UInt8] {
        [rounds, up, down, isDuplex ? 1 : 0].flatMap { number in
            withUnsafeBytes(of: UInt64(number).littleEndian) { Array($0) }
        }
    }

    /// Nil where `head` is no head.
    init?(head: [UInt8]) {
        guard head.count == Self.headLength else { return nil }
        let numbers = head.withUnsafeBytes { bytes in
            (0..<4).map { Int(truncatingIfNeeded: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)) }
        }
        guard numbers.allSatisfy({ $0 >= 0 }), numbers[3] <= 1 else { return nil }
        self.init(rounds: numbers[0], up: numbers[1], down: numbers[2], isDuplex: numbers[3] == 1)
    }

    // MARK: The two sides. Both block.

    /// The client's side, to its end.
    ///
    /// - Returns: nil when all of it came and went, else what did not.
    /// - Throws: ``Altered`` at a byte that nobody sent.
    func play(on socket: LoopbackSocket) throws -> String? {
        do {
            try socket.write(head)
            for round in 1...rounds {
                let got = try exchange(
                    sending: (Self.upward, up), receiving: (Self.downward, down), isDuplex: isDuplex || halfCloses,
                    on: socket
                ) { if halfCloses && round == rounds { socket.shutdownWrite() } }
                if got != down { return "\(got) of \(down) bytes came in round \(round) of \(rounds)" }
            }
            switch try socket.read(upTo: 1).first {
            case Self.whole: break
            case Self.broken: return "the target did not get all"
            case nil: return "the target did not say whether it got all"
            default: throw Altered(description: "the target's last byte is none that it sends")
            }
            guard halfCloses else { return nil }
            return try socket.read(upTo: 1).isEmpty ? nil : "more came than was sent"
        } catch let altered as Altered {
            throw altered
        } catch {
            return "\(error)"
        }
    }

    /// The target's side, to its end.
    ///
    /// - Throws: ``Altered`` at a byte that nobody sent; what ends a connection.
    func answer(on socket: LoopbackSocket) throws {
        for _ in 1...max(1, rounds) {
            let got = try exchange(
                sending: (Self.downward, down), receiving: (Self.upward, up), isDuplex: isDuplex, listensFirst: true,
                on: socket)
            guard got == up else { return try socket.write([Self.broken]) }
        }
        try socket.write([Self.whole])
    }

    private func exchange(
        sending: (pattern: Pattern, count: Int), receiving: (pattern: Pattern, count: Int), isDuplex: Bool,
        listensFirst: Bool = false, on socket: LoopbackSocket, whenSent: @escaping @Sendable () -> Void = {}
    ) throws -> Int {
        func receive() throws -> Int {
            do {
                return try receiving.pattern.verify(receiving.count, from: socket)
            } catch let failure as TestFailure where failure.description.hasPrefix("a byte after") {
                throw Altered(description: failure.description)
            }
        }
        let send: @Sendable () throws -> Void = {
            try sending.pattern.send(sending.count, on: socket)
            whenSent()
        }
        if isDuplex {
            let sender = try Joined(send)
            // Its thread uses the socket: whatever comes, it is waited for.
            let got = Result { try receive() }
            if (try? got.get()) != receiving.count { socket.shutdownBoth() }
            let sent = Result { try sender.wait() }
            let count = try got.get()
            try sent.get()
            return count
        }
        if listensFirst {
            let got = try receive()
            if got == receiving.count { try send() }
            return got
        }
        try send()
        return try receive()
    }
}

/// A byte that nobody sent. Whatever happened on the way, this must not.
struct Altered: Error, CustomStringConvertible {
    let description: String
}
