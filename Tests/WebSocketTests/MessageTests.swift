import TestSupport
import Testing
import WebSocket

/// Messages, fragments and control frames between them: what Autobahn's groups 1, 2, 5, 6, 9 and 10 ask.
@Suite struct MessageTests {
    @Test(arguments: [0, 1, 125, 126, 127, 128, 65_535, 65_536])
    func everySizeOfMessageArrives(size: Int) {
        let payload = [UInt8](repeating: UInt8(ascii: "*"), count: size)
        for parts in [Int.max, 997, 14] {
            var client = WebSocketStateMachine(role: .client)
            #expect(client.hear(frame(.text, payload), partsOf: parts) == [.text(payload)])
            #expect(client.hear(frame(.binary, payload), partsOf: parts) == [.binary(payload)])
        }
    }

    @Test(arguments: [64, 256, 1_024, 4_096, 65_536])
    func aBigMessageArrivesInFragmentsOfEverySize(fragment: Int) {
        var generator = SeededGenerator(seed: UInt64(fragment))
        let payload = generator.bytes(1 << 18)
        var bytes = frame(.binary, Array(payload[..<fragment]), final: false)
        for start in stride(from: fragment, to: payload.count, by: fragment) {
            let end = min(payload.count, start + fragment)
            bytes += frame(.continuation, Array(payload[start..<end]), final: end == payload.count)
        }
        var client = WebSocketStateMachine(role: .client)
        #expect(client.hear(bytes, partsOf: 1_300) == [.binary(payload)])
    }

    @Test func dataIsDeliveredAsItComesAndWithoutACopy() {
        var client = WebSocketStateMachine(role: .client)
        var bytes = frame(.binary, "abcdef").prefix(5) + []
        bytes.withUnsafeMutableBytes { buffer in
            var offset = 0
            #expect(client.next(in: buffer, at: &offset) == .data(range: 2..<5, kind: .binary, endOfMessage: false))
            #expect(client.next(in: buffer, at: &offset) == nil)
        }
        var rest = Array("def".utf8) + frame(.binary, "g")
        rest.withUnsafeMutableBytes { buffer in
            var offset = 0
            #expect(client.next(in: buffer, at: &offset) == .data(range: 0..<3, kind: .binary, endOfMessage: true))
            #expect(offset == 3)
            #expect(client.next(in: buffer, at: &offset) == .data(range: 5..<6, kind: .binary, endOfMessage: true))
            #expect(client.next(in: buffer, at: &offset) == nil)
            #expect(client.next(in: buffer, at: &offset) == nil)
        }
    }

    @Test func anEmptyBufferIsNothing() {
        var client = WebSocketStateMachine(role: .client)
        var offset = 0
        #expect(client.next(in: UnsafeMutableRawBufferPointer(start: nil, count: 0), at: &offset) == nil)
        #expect(client.mayReceive)
    }

    // MARK: Pings and pongs (group 2)

    @Test(arguments: [0, 1, 125])
    func pingsComeWithTheirPayloadAndAreAnsweredWithIt(size: Int) {
        let payload = [UInt8](repeating: 0xFE, count: size)
        #expect(clientHears(frame(.ping, payload)) == [.ping(payload)])
        let pong = WebSocketStateMachine(role: .client).pong(for: payload, maskingKey: 0x0102_0304) ?? []
        var server = WebSocketStateMachine(role: .server)
        #expect(server.hear(pong, partsOf: 1) == [.pong(payload)])
    }

    @Test func pongsThatNobodyAskedForAreOnlyHeard() {
        #expect(clientHears(frame(.pong, "x"), frame(.ping, "y")) == [.pong(Array("x".utf8)), .ping(Array("y".utf8))])
    }

    @Test func manyPingsInOneBufferKeepTheirOrder() {
        let pings = (0..<10).flatMap { frame(.ping, [UInt8($0)]) }
        #expect(clientHears(pings) == (0..<10).map { .ping([$0]) })
    }

    @Test func aPingThatIsTooLongIsCut() {
        let ping = WebSocketStateMachine(role: .client).ping([UInt8](repeating: 1, count: 200), maskingKey: 9) ?? []
        var server = WebSocketStateMachine(role: .server)
        #expect(server.hear(ping) == [.ping([UInt8](repeating: 1, count: 125))])
    }

    // MARK: Fragments (group 5)

    @Test func controlFramesMayStandBetweenFragments() {
        #expect(
            clientHears(
                frame(.text, "one ", final: false), frame(.ping, "p1"), frame(.continuation, "two ", final: false),
                frame(.ping, "p2"), frame(.pong), frame(.continuation, "three"), frame(.binary, "x"))
                == [
                    .ping(Array("p1".utf8)), .ping(Array("p2".utf8)), .pong([]), .text("one two three"),
                    .binary(Array("x".utf8)),
                ])
    }

    @Test func emptyFragmentsAreAllowed() {
        #expect(
            clientHears(
                frame(.text, "", final: false), frame(.continuation, "", final: false), frame(.continuation, ""))
                == [.text("")])
        #expect(
            clientHears(
                frame(.text, "", final: false), frame(.continuation, "m", final: false), frame(.continuation, ""))
                == [.text("m")])
    }

    @Test(arguments: [true, false])
    func aContinuationNeedsAStart(final: Bool) {
        let stray = frame(.continuation, "stray", final: final)
        #expect(clientHears(stray, frame(.text, "x")) == [.violation(.continuationWithoutStart)])
        #expect(
            clientHears(frame(.text, "a", final: false), frame(.continuation, "b"), stray)
                == [.text("ab"), .violation(.continuationWithoutStart)])
    }

    @Test(arguments: [.text, .binary] as [Opcode])
    func aMessageMustEndBeforeTheNextBegins(opcode: Opcode) {
        #expect(
            clientHears(frame(.text, "", final: false), frame(opcode, "b")) == [.violation(.newMessageInsideFragments)])
        #expect(
            clientHears(frame(.binary, "", final: false), frame(.ping), frame(opcode, "b", final: false))
                == [.ping([]), .violation(.newMessageInsideFragments)])
    }

    @Test func nothingIsReadAfterAViolation() {
        var client = WebSocketStateMachine(role: .client)
        #expect(client.hear([0xF0] + frame(.ping)) == [.violation(.reservedBits)])
        #expect(client.hear(frame(.text, "x") + closeFrame(1000)) == [])
        #expect(!client.maySendData && !client.mayReceive)
        #expect(client.ping(maskingKey: 1) == nil)
        #expect(client.violation?.closeCode == .protocolError)
        #expect(client.close(.protocolError, maskingKey: 1) != nil)
    }

    // MARK: UTF-8 (group 6)

    static let kosme: [UInt8] = [0xCE, 0xBA, 0xE1, 0xBD, 0xB9, 0xCF, 0x83, 0xCE, 0xBC, 0xCE, 0xB5]

    @Test func textMayBeFragmentedInsideACharacter() {
        for split in 0...Self.kosme.count {
            let first = frame(.text, Array(Self.kosme[..<split]), final: false)
            let second = frame(.continuation, Array(Self.kosme[split...]))
            #expect(clientHears(first, frame(.ping), second) == [.ping([]), .text(Self.kosme)])
        }
    }

    @Test(
        arguments: [
            [0xCE, 0xBA, 0xE1, 0xBD, 0xB9, 0xCF, 0x83, 0xCE, 0xBC, 0xCE, 0xB5, 0xED, 0xA0, 0x80, 0x65, 0x64],
            [0xF8, 0x88, 0x80, 0x80, 0x80], [0xC0, 0xAF], [0xE0, 0x80, 0xAF], [0xED, 0xAF, 0xBF, 0xED, 0xBF, 0xBF],
            [0xF4, 0x90, 0x80, 0x80], [0xFF], [0x80],
        ] as [[UInt8]])
    func textThatIsNotUTF8Fails(payload: [UInt8]) {
        #expect(clientHears(frame(.text, payload)).last == .violation(.textNotUTF8))
        // Binary messages are not looked at.
        #expect(clientHears(frame(.binary, payload)) == [.binary(payload)])
    }

    @Test func textThatEndsInsideACharacterFails() {
        #expect(clientHears(frame(.text, Array(Self.kosme.dropLast()))).last == .violation(.textNotUTF8))
        // The next message begins afresh.
        #expect(clientHears(frame(.text, Self.kosme), frame(.text, "x")) == [.text(Self.kosme), .text("x")])
    }

    @Test func badTextFailsBeforeItsMessageOrFrameEnds() {
        var client = WebSocketStateMachine(role: .client)
        let first = frame(.text, Self.kosme, final: false)
        #expect(client.hear(first) == [.unfinished(Self.kosme)])
        let second = frame(.continuation, [0xF4, 0x90, 0x80, 0x80], final: false).prefix(4)
        #expect(client.hear(Array(second)) == [.violation(.textNotUTF8)])
        #expect(client.violation?.closeCode == .invalidPayload)
    }

    // MARK: Limits

    @Test func aMessageOverTheLimitFailsAsSoonAsItIsAnnounced() {
        var client = WebSocketStateMachine(role: .client, maximumMessageLength: 10)
        #expect(client.hear(frame(.binary, "0123456789")) == [.binary(Array("0123456789".utf8))])
        #expect(client.hear(frame(.binary, "01234567", final: false)) == [.unfinished(Array("01234567".utf8))])
        #expect(client.hear(Array(frame(.continuation, "89a").prefix(2))) == [.violation(.messageTooLong(limit: 10))])
        #expect(client.violation?.closeCode == .messageTooBig)
    }

    @Test func withoutALimitLengthsAddUpWithoutATrap() {
        var client = WebSocketStateMachine(role: .client)
        #expect(client.hear([0x02, 127, 0x7F] + [UInt8](repeating: 0xFF, count: 7)) == [])
        #expect(client.mayReceive)
    }
}
