import Testing
import WebSocket

/// The close handshake: what Autobahn's group 7 asks.
@Suite struct CloseTests {
    @Test func thePeersCloseIsHeardEchoedAndEndsEverything() {
        var client = WebSocketStateMachine(role: .client)
        #expect(client.hear(closeFrame(1000, Array("bye".utf8)) + frame(.text, "late")) == [.close(1000, "bye")])
        #expect(client.hear(frame(.ping)) == [])
        #expect(!client.isClosed && !client.maySendData)
        #expect(client.pong(for: [], maskingKey: 1) == nil)
        let reply = client.closeReply(maskingKey: 0x0403_0201)
        #expect(reply == [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xE8 ^ 2])
        #expect(client.isClosed)
        #expect(client.closeReply(maskingKey: 1) == nil)
        #expect(client.close(.normal, maskingKey: 1) == nil)
    }

    @Test func anEmptyCloseIsAnsweredWithAnEmptyOne() {
        var server = WebSocketStateMachine(role: .server)
        #expect(server.hear(FrameEncoder.frame(.close, maskingKey: 77)) == [.close(nil, "")])
        #expect(server.closeReply(maskingKey: 0) == [0x88, 0x00])
    }

    @Test func ourOwnCloseIsCompleteWithThePeers() {
        var client = WebSocketStateMachine(role: .client)
        var server = WebSocketStateMachine(role: .server)
        #expect(client.maySendData)
        let close = client.close(.goingAway, reason: "drained", maskingKey: 5) ?? []
        #expect(!client.maySendData && client.mayReceive && !client.isClosed)
        #expect(client.closeReply(maskingKey: 1) == nil)
        #expect(server.hear(close) == [.close(1001, "drained")])
        let reply = server.closeReply(maskingKey: 0) ?? []
        #expect(server.isClosed)
        #expect(client.hear(reply) == [.close(1001, "")])
        #expect(client.isClosed)
    }

    @Test func dataOnItsWayIsStillDeliveredAfterOurClose() {
        var client = WebSocketStateMachine(role: .client)
        _ = client.close(.normal, maskingKey: 5)
        #expect(
            client.hear(frame(.binary, "late") + frame(.ping) + closeFrame(1000))
                == [.binary(Array("late".utf8)), .ping([]), .close(1000, "")])
        // Nothing follows our Close, not even pongs.
        #expect(client.pong(for: [], maskingKey: 1) == nil)
    }

    @Test func bothSidesMayCloseAtOnce() {
        var client = WebSocketStateMachine(role: .client)
        #expect(client.close(.normal, maskingKey: 5) != nil)
        #expect(client.hear(closeFrame(1001)) == [.close(1001, "")])
        #expect(client.closeReply(maskingKey: 1) == nil)
        #expect(client.isClosed)
    }

    @Test(arguments: [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
    func codesThatMayBeSentAreTaken(code: UInt16) {
        #expect(clientHears(closeFrame(code)) == [.close(code, "")])
        #expect(CloseCode(rawValue: code).mayBeSent)
    }

    @Test(arguments: [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
    func codesThatMayNotBeSentFail(code: UInt16) {
        #expect(clientHears(closeFrame(code, [0x78])) == [.violation(.invalidCloseCode(code))])
        #expect(ProtocolViolation.invalidCloseCode(code).closeCode == .protocolError)
        // Nor do we send them.
        var server = WebSocketStateMachine(role: .server)
        #expect(server.close(CloseCode(rawValue: code), reason: "x", maskingKey: 0) == [0x88, 0x00])
    }

    @Test func aCloseOfOneByteFails() {
        #expect(clientHears(frame(.close, [0x03])) == [.violation(.closePayloadOfOneByte)])
    }

    @Test func aReasonMustBeWholeUTF8() {
        #expect(clientHears(closeFrame(1000, [0xCE])) == [.violation(.closeReasonNotUTF8)])
        #expect(
            clientHears(closeFrame(1000, MessageTests.kosme + [0xED, 0xA0, 0x80])) == [.violation(.closeReasonNotUTF8)])
        #expect(ProtocolViolation.closeReasonNotUTF8.closeCode == .invalidPayload)
        #expect(clientHears(closeFrame(1000, MessageTests.kosme)) == [.close(1000, "κόσμε")])
    }

    @Test func theLongestReasonIsTakenVerbatim() {
        let reason = [UInt8](repeating: UInt8(ascii: "*"), count: 123)
        #expect(clientHears(closeFrame(1011, reason)) == [.close(1011, String(repeating: "*", count: 123))])
        #expect(clientHears(closeFrame(1011, reason + [0x2A])) == [.violation(.controlFrameTooLong)])
    }

    @Test func aReasonOfOursIsCutBetweenCharacters() {
        var server = WebSocketStateMachine(role: .server)
        let close = server.close(.normal, reason: String(repeating: "x", count: 122) + "é", maskingKey: 0) ?? []
        #expect(clientHears(close) == [.close(1000, String(repeating: "x", count: 122))])
    }

    @Test func aCloseInsideAFragmentedMessageEndsIt() {
        #expect(
            clientHears(frame(.text, "beg", final: false), closeFrame(1000), frame(.continuation, "in"))
                .contains(.close(1000, "")))
    }

    @Test func everyViolationHasASentenceAndACodeThatMayBeSent() {
        let all: [ProtocolViolation] = [
            .reservedBits, .reservedOpcode(3), .maskedFrame, .unmaskedFrame, .fragmentedControlFrame,
            .controlFrameTooLong, .lengthNotMinimal, .lengthTopBitSet, .continuationWithoutStart,
            .newMessageInsideFragments, .textNotUTF8, .messageTooLong(limit: 9), .closePayloadOfOneByte,
            .invalidCloseCode(1005), .closeReasonNotUTF8,
        ]
        #expect(Set(all.map(\.sentence)).count == all.count)
        #expect(all.allSatisfy { $0.closeCode.mayBeSent })
    }
}
