import TestSupport
import Testing
import WebSocket
import WebSocketEcho

/// The rules of the Autobahn test suite's groups 1 to 7, 9 and 10, as transcripts, by the numbers of its cases
/// (the cases of github.com/crossbario/autobahn-testsuite, described in its own words there; written anew from RFC 6455).
///
/// This is not a run of that suite: `make autobahn` is, where a Python 2.7 can be had.
@Suite struct AutobahnTests {
    /// What the echo answers.
    enum Answer: Hashable, CustomStringConvertible {
        case text([UInt8])
        case binary([UInt8])
        case pong([UInt8])
        case close(UInt16?)

        var description: String {
            switch self {
            case .text(let bytes): "text of \(bytes.count)"
            case .binary(let bytes): "binary of \(bytes.count)"
            case .pong(let bytes): "pong of \(bytes.count)"
            case .close(let code): "close \(code.map(String.init) ?? "without a code")"
            }
        }
    }

    struct Case: Sendable, CustomStringConvertible {
        let number: String
        let frames: [UInt8]
        let answers: [Answer]
        var description: String { number }

        init(_ number: String, _ frames: [UInt8]..., answers: Answer...) {
            self.number = number
            self.frames = frames.flatMap { $0 }
            self.answers = answers
        }
    }

    static func frame(_ opcode: Opcode, _ payload: [UInt8] = [], final: Bool = true) -> [UInt8] {
        FrameEncoder.frame(opcode, isFinal: final, payload: payload, maskingKey: nil)
    }
    static func frame(_ opcode: Opcode, _ payload: String, final: Bool = true) -> [UInt8] {
        frame(opcode, Array(payload.utf8), final: final)
    }
    static func close(_ code: UInt16, _ reason: [UInt8] = []) -> [UInt8] {
        frame(.close, [UInt8(code >> 8), UInt8(code & 0xFF)] + reason)
    }
    /// A frame that no encoder of ours makes: first byte as given.
    static func raw(_ first: UInt8, _ payload: [UInt8] = []) -> [UInt8] { [first, UInt8(payload.count)] + payload }

    static let kosme: [UInt8] = [0xCE, 0xBA, 0xE1, 0xBD, 0xB9, 0xCF, 0x83, 0xCE, 0xBC, 0xCE, 0xB5]
    static let end = close(1000)

    /// What an echo does with `bytes` that arrive in parts of `size`.
    static func answers(to bytes: [UInt8], partsOf size: Int) -> [Answer] {
        var key: UInt32 = 1
        var session = EchoSession {
            key = key &* 0x9E37_79B1 &+ 7
            return key
        }
        var sent: [UInt8] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            var part = Array(rest.prefix(size))
            rest = rest.dropFirst(size)
            sent += part.withUnsafeMutableBytes { session.receive($0) }
        }
        var server = WebSocketStateMachine(role: .server)
        var answers: [Answer] = []
        var message: [UInt8] = []
        sent.withUnsafeMutableBytes { buffer in
            var offset = 0
            while let event = server.next(in: buffer, at: &offset) {
                switch event {
                case .data(let range, let kind, let isEnd):
                    message += buffer[range]
                    guard isEnd else { continue }
                    answers.append(kind == .text ? .text(message) : .binary(message))
                    message = []
                case .pong(let payload): answers.append(.pong(payload))
                case .close(let frame): answers.append(.close(frame.code?.rawValue))
                case .ping, .violation: Issue.record("the echo sent \(event)")
                }
            }
        }
        return answers
    }

    @Test(arguments: sizes + pings + reserved + opcodes + fragments + closes)
    func theCaseIsAnsweredAsItMustBe(_ example: Case) {
        for size in [Int.max, 1, 7] where size == .max || example.frames.count < 300_000 {
            #expect(Self.answers(to: example.frames, partsOf: size) == example.answers, "in parts of \(size)")
        }
    }

    // MARK: 1, framing

    // Computed, as the others: the leak sanitizer does not see arrays in such an enumeration, which keeps its case in their pointers'
    // bits, and takes what is kept for good for lost.
    static var sizes: [Case] {
        zip(1..., [0, 125, 126, 127, 128, 65_535, 65_536, 65_536]).flatMap { number, size in
            let payload = [UInt8](repeating: UInt8(ascii: "*"), count: size)
            let bytes = [UInt8](repeating: 0xFE, count: size)
            return [
                Case("1.1.\(number)", frame(.text, payload), end, answers: .text(payload), .close(1000)),
                Case("1.2.\(number)", frame(.binary, bytes), end, answers: .binary(bytes), .close(1000)),
            ]
        }
    }

    // MARK: 2, pings and pongs

    static var pings: [Case] {
        let many = (0..<10).map { UInt8($0) }
        return [
            Case("2.1", frame(.ping), end, answers: .pong([]), .close(1000)),
            Case("2.2", frame(.ping, "Hello"), end, answers: .pong(Array("Hello".utf8)), .close(1000)),
            Case(
                "2.3", frame(.ping, [0, 0xFF, 0xFE, 0xFD]), end, answers: .pong([0, 0xFF, 0xFE, 0xFD]), .close(1000)),
            Case(
                "2.4", frame(.ping, [UInt8](repeating: 0xFE, count: 125)), end,
                answers: .pong([UInt8](repeating: 0xFE, count: 125)), .close(1000)),
            Case("2.5", [0x89, 126, 0, 126] + [UInt8](repeating: 0xFE, count: 126), answers: .close(1002)),
            // 2.6 is 2.4 an octet at a time, as every case here is.
            Case("2.7", frame(.pong), end, answers: .close(1000)),
            Case("2.8", frame(.pong, "unsolicited"), end, answers: .close(1000)),
            Case("2.9", frame(.pong, "unsolicited"), frame(.ping, "p"), end, answers: .pong([0x70]), .close(1000)),
            Case(
                "2.10", many.flatMap { frame(.ping, [$0]) }, end,
                answers: .pong([0]), .pong([1]), .pong([2]), .pong([3]), .pong([4]), .pong([5]), .pong([6]), .pong([7]),
                .pong([8]), .pong([9]), .close(1000)),
        ]
    }

    // MARK: 3, reserved bits

    static var reserved: [Case] {
        let small = Array("small".utf8)
        return [
            Case("3.1", raw(0x91, small), answers: .close(1002)),
            Case("3.2", frame(.text, small), raw(0xA1, small), frame(.ping), answers: .text(small), .close(1002)),
            Case("3.3", frame(.text, small), raw(0xB1, small), frame(.ping), answers: .text(small), .close(1002)),
            Case("3.4", frame(.text, small), raw(0xC1, small), frame(.ping), answers: .text(small), .close(1002)),
            Case("3.5", raw(0xD2, [0, 0xFF]), answers: .close(1002)),
            Case("3.6", raw(0xE9, small), answers: .close(1002)),
            Case("3.7", raw(0xF8), answers: .close(1002)),
        ]
    }

    // MARK: 4, reserved opcodes

    static var opcodes: [Case] {
        let small = Array("small".utf8)
        var cases: [Case] = []
        for (group, first) in [(1, UInt8(3)), (2, UInt8(11))] {
            for index in 0..<UInt8(5) {
                let bytes = raw(0x80 | (first + index), index == 1 ? small : [])
                let number = "4.\(group).\(index + 1)"
                cases.append(
                    index < 2
                        ? Case(number, bytes, frame(.ping), answers: .close(1002))
                        : Case(number, frame(.text, small), bytes, frame(.ping), answers: .text(small), .close(1002)))
            }
        }
        return cases
    }

    // MARK: 5, fragments

    static var fragments: [Case] {
        let one = Array("fragment1".utf8)
        let two = Array("fragment2".utf8)
        let both = one + two
        let ping = frame(.ping, "pingme")
        let pong = Answer.pong(Array("pingme".utf8))
        let stray = frame(.continuation, "non-continuation payload")
        let hello = frame(.text, "Hello, world!")
        return [
            Case("5.1", frame(.ping, one, final: false), frame(.continuation, two), answers: .close(1002)),
            Case("5.2", frame(.pong, one, final: false), frame(.continuation, two), answers: .close(1002)),
            Case(
                "5.3", frame(.text, one, final: false), frame(.continuation, two), end, answers: .text(both),
                .close(1000)),
            // 5.4 and 5.5 are 5.3 in one piece and octet by octet.
            Case(
                "5.6", frame(.text, one, final: false), ping, frame(.continuation, two), end,
                answers: pong, .text(both), .close(1000)),
            Case("5.9", stray, hello, answers: .close(1002)),
            Case("5.12", frame(.continuation, "x", final: false), hello, answers: .close(1002)),
            Case(
                "5.15", frame(.text, one, final: false), frame(.continuation, two),
                frame(.continuation, "fragment3", final: false), frame(.text, "fragment4"),
                answers: .text(both), .close(1002)),
            Case(
                "5.16", frame(.continuation, one, final: false), frame(.text, two), frame(.continuation),
                answers: .close(1002)),
            Case("5.17", frame(.continuation, one), frame(.text, two), frame(.continuation), answers: .close(1002)),
            Case("5.18", frame(.text, one, final: false), frame(.text, two), answers: .close(1002)),
            Case(
                "5.19", frame(.text, "1", final: false), frame(.continuation, "2", final: false), ping,
                frame(.continuation, "3", final: false), frame(.continuation, "4", final: false), ping,
                frame(.continuation, "5"), end, answers: pong, pong, .text(Array("12345".utf8)), .close(1000)),
            // 5.20 is 5.19 with pauses between the fragments.
        ]
    }

    // MARK: 7, closing

    static var closes: [Case] {
        let reason = [UInt8](repeating: UInt8(ascii: "*"), count: 123)
        var cases = [
            Case("7.1.1", frame(.text, "Hello"), end, answers: .text(Array("Hello".utf8)), .close(1000)),
            Case("7.1.2", end, end, answers: .close(1000)),
            Case("7.1.3", end, frame(.ping), answers: .close(1000)),
            Case("7.1.4", end, frame(.text, "late"), answers: .close(1000)),
            Case("7.1.5", frame(.text, "f1", final: false), end, frame(.continuation, "f2"), answers: .close(1000)),
            Case(
                "7.1.6", frame(.text, [UInt8](repeating: 0x42, count: 1 << 18)), frame(.text, "Hello"), end,
                frame(.ping), answers: .text([UInt8](repeating: 0x42, count: 1 << 18)), .text(Array("Hello".utf8)),
                .close(1000)),
            Case("7.3.1", frame(.close), answers: .close(nil)),
            Case("7.3.2", frame(.close, [0x61]), answers: .close(1002)),
            Case("7.3.3", end, answers: .close(1000)),
            Case("7.3.4", close(1000, Array("Hello".utf8)), answers: .close(1000)),
            Case("7.3.5", close(1000, reason), answers: .close(1000)),
            Case("7.3.6", [0x88, 126, 0, 126, 3, 0xE8] + reason + [0x2A], answers: .close(1002)),
            Case("7.5.1", close(1000, kosme + [0xED, 0xA0, 0x80, 0x65]), answers: .close(1007)),
        ]
        let good: [UInt16] = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
        cases += good.enumerated().map { Case("7.7.\($0 + 1)", close($1), answers: .close($1)) }
        let bad: [UInt16] = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999]
        cases += bad.enumerated().map { Case("7.9.\($0 + 1)", close($1), answers: .close(1002)) }
        cases += [5000, 65_535].enumerated().map { Case("7.13.\($0 + 1)", close($1), answers: .close(1002)) }
        return cases
    }

    // MARK: 6, UTF-8

    /// Every way to write one code point that is none: overlong, surrogates, beyond U+10FFFF, five and six bytes, bytes
    /// that no text has (6.3 to 6.21). Each alone, and inside a text that is good.
    static let malformed: [(String, [UInt8])] = [
        ("6.3.1", kosme + [0xED, 0xA0, 0x80, 0x65, 0x64, 0x69, 0x74, 0x65, 0x64]),
        ("6.3.2", kosme + [0xED, 0xA0, 0x80]),
        ("6.8.1", [0xF8, 0x88, 0x80, 0x80, 0x80]), ("6.8.2", [0xFC, 0x84, 0x80, 0x80, 0x80, 0x80]),
        ("6.10.1", [0xF7, 0xBF, 0xBF, 0xBF]), ("6.10.2", [0xFB, 0xBF, 0xBF, 0xBF, 0xBF]),
        ("6.10.3", [0xFD, 0xBF, 0xBF, 0xBF, 0xBF, 0xBF]), ("6.11.5", [0xF4, 0x90, 0x80, 0x80]), ("6.12.1", [0x80]),
        ("6.12.2", [0xBF]), ("6.12.3", [0x80, 0xBF]), ("6.12.8", (0x80...0xBF).map { $0 }),
        ("6.13.1", (0xC0...0xDF).flatMap { [$0, 0x20] }), ("6.13.2", (0xE0...0xEF).flatMap { [$0, 0x20] }),
        ("6.13.3", (0xF0...0xF7).flatMap { [$0, 0x20] }), ("6.13.4", (0xF8...0xFB).flatMap { [$0, 0x20] }),
        ("6.13.5", [0xFC, 0x20, 0xFD, 0x20]), ("6.14.1", [0xC0]), ("6.14.2", [0xE0, 0x80]),
        ("6.14.3", [0xF0, 0x80, 0x80]),
        ("6.14.6", [0xDF]), ("6.14.7", [0xEF, 0xBF]), ("6.14.8", [0xF7, 0xBF, 0xBF]),
        ("6.15.1", [0xC0, 0xE0, 0x80, 0xF0, 0x80, 0x80, 0xF8, 0x80, 0x80, 0x80]), ("6.16.1", [0xFE]),
        ("6.16.2", [0xFF]),
        ("6.16.3", [0xFE, 0xFE, 0xFF, 0xFF]), ("6.17.1", [0xC0, 0xAF]), ("6.17.2", [0xE0, 0x80, 0xAF]),
        ("6.17.3", [0xF0, 0x80, 0x80, 0xAF]), ("6.18.1", [0xC1, 0xBF]), ("6.18.2", [0xE0, 0x9F, 0xBF]),
        ("6.18.3", [0xF0, 0x8F, 0xBF, 0xBF]), ("6.19.1", [0xC0, 0x80]), ("6.19.2", [0xE0, 0x80, 0x80]),
        ("6.19.3", [0xF0, 0x80, 0x80, 0x80]), ("6.20.1", [0xED, 0xA0, 0x80]), ("6.20.4", [0xED, 0xAF, 0xBF]),
        ("6.20.7", [0xED, 0xBF, 0xBF]), ("6.21.1", [0xED, 0xA0, 0x80, 0xED, 0xB0, 0x80]),
        ("6.21.8", [0xED, 0xAF, 0xBF, 0xED, 0xBF, 0xBF]),
    ]

    @Test(arguments: malformed) func textThatIsNoneIsRefusedWhereverItIsCut(number: String, payload: [UInt8]) {
        for prefix in [[], Self.kosme, Array("ascii only".utf8)] {
            let bytes = prefix + payload
            #expect(Self.answers(to: Self.frame(.text, bytes), partsOf: .max) == [.close(1007)], "\(number)")
            for cut in 0...bytes.count {
                let frames =
                    Self.frame(.text, Array(bytes[..<cut]), final: false) + Self.frame(.ping)
                    + Self.frame(.continuation, Array(bytes[cut...]))
                let answers = Self.answers(to: frames, partsOf: 1)
                #expect(answers.last == .close(1007) && answers.count <= 2, "\(number) cut at \(cut)")
            }
            #expect(
                Self.answers(to: Self.frame(.binary, bytes), partsOf: .max) == [.binary(bytes)],
                "binary is not looked at")
        }
    }

    /// 6.5, 6.6, 6.7, 6.9, 6.11, 6.22, 6.23: text that is text, boundaries and non-characters among it.
    @Test func textIsEchoedWhereverItIsCut() {
        var scalars: [UInt32] = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x10FFFF]
        scalars += (0xFDD0...0xFDEF).map { $0 }
        for plane in 0...16 as ClosedRange<UInt32> { scalars += [plane << 16 | 0xFFFE, plane << 16 | 0xFFFF] }
        let texts = scalars.compactMap { Unicode.Scalar($0).map { Array(String(Character($0)).utf8) } } + [Self.kosme]
        #expect(texts.count == scalars.count + 1)
        for text in texts {
            for cut in 0...text.count {
                let frames =
                    Self.frame(.text, Array(text[..<cut]), final: false)
                    + Self.frame(.continuation, Array(text[cut...]))
                #expect(Self.answers(to: frames, partsOf: 1) == [.text(text)])
            }
        }
    }

    /// 6.4: refused at the first byte that no text can have there, not at the end of frame or message.
    @Test func badTextIsRefusedAtItsFirstBadByte() {
        let good = Self.frame(.text, Self.kosme, final: false)
        #expect(Self.answers(to: good, partsOf: .max).isEmpty)
        let bad = Self.frame(.continuation, [0xF4, 0x90] + [UInt8](repeating: 0x80, count: 100), final: false)
        #expect(Self.answers(to: good + bad.prefix(3), partsOf: 1).isEmpty, "F4 may begin a character")
        #expect(Self.answers(to: good + bad.prefix(4), partsOf: 1) == [.close(1007)])
    }

    // MARK: 9 and 10, size

    /// 9.1 to 9.6: up to 16 MiB, whole, in fragments of each size, and in small parts.
    @Test(arguments: [Opcode.text, .binary], [1 << 16, 1 << 18, 1 << 20, 4 << 20, 8 << 20, 16 << 20])
    func bigMessagesComeBackWhole(opcode: Opcode, size: Int) {
        let payload = [UInt8](repeating: UInt8(ascii: "*"), count: size)
        let expected: [Answer] = [opcode == .text ? .text(payload) : .binary(payload)]
        #expect(Self.answers(to: Self.frame(opcode, payload), partsOf: 1 << 16) == expected)
    }

    @Test(arguments: [64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1 << 20, 4 << 20])
    func bigMessagesInFragmentsComeBackWhole(fragment: Int) {
        let size = min(4 << 20, fragment << 12)
        let payload = [UInt8](repeating: UInt8(ascii: "*"), count: size)
        for opcode in [Opcode.text, .binary] {
            var frames: [UInt8] = []
            for start in stride(from: 0, to: size, by: fragment) {
                frames += Self.frame(
                    start == 0 ? opcode : .continuation, Array(payload[start..<min(size, start + fragment)]),
                    final: start + fragment >= size)
            }
            let expected: [Answer] = [opcode == .text ? .text(payload) : .binary(payload)]
            #expect(Self.answers(to: frames, partsOf: 1 << 16) == expected)
            // 10.1.1, and 9.5: parts that have nothing to do with the frames.
            #expect(Self.answers(to: frames, partsOf: 1_300) == expected)
        }
    }

    /// 9.7, 9.8: a thousand messages, one after another.
    @Test(arguments: [0, 16, 64, 256, 1_024, 4_096]) func manyMessagesComeBackInOrder(size: Int) {
        let messages = (0..<1_000).map { number in (0..<size).map { UInt8(truncatingIfNeeded: number &+ $0) } }
        let frames = messages.flatMap { Self.frame(.binary, $0) }
        #expect(Self.answers(to: frames, partsOf: 1 << 16) == messages.map { .binary($0) })
    }

    @Test func aMessageOfMoreThan16MiBIsTooBig() {
        let header = Array(Self.frame(.binary, [UInt8](repeating: 0, count: (16 << 20) + 1)).prefix(10))
        #expect(Self.answers(to: header, partsOf: .max) == [.close(1009)])
    }
}
