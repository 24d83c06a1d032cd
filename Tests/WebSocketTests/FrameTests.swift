import TestSupport
import Testing
import WebSocket

@Suite struct FrameTests {
    // MARK: RFC 6455, section 5.7

    static let maskedHello: [UInt8] = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]

    @Test func theRFCsUnmaskedTextMessage() {
        #expect(frame(.text, "Hello") == [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
        #expect(clientHears([0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F]) == [.text("Hello")])
    }

    @Test func theRFCsMaskedTextMessage() {
        // The key's first byte on the wire is its least significant one.
        let bytes = FrameEncoder.frame(.text, payload: Array("Hello".utf8), maskingKey: 0x3D21_FA37)
        #expect(bytes == Self.maskedHello)
        for size in 1...11 {
            var server = WebSocketStateMachine(role: .server)
            #expect(server.hear(Self.maskedHello, partsOf: size) == [.text("Hello")])
        }
    }

    @Test func theRFCsFragmentedMessage() {
        let bytes: [UInt8] = [0x01, 0x03, 0x48, 0x65, 0x6C, 0x80, 0x02, 0x6C, 0x6F]
        #expect(frame(.text, "Hel", final: false) + frame(.continuation, "lo") == bytes)
        #expect(clientHears(bytes) == [.text("Hello")])
    }

    @Test func theRFCsPingAndItsMaskedPong() {
        #expect(clientHears([0x89, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F]) == [.ping(Array("Hello".utf8))])
        let pong = WebSocketStateMachine(role: .client).pong(for: Array("Hello".utf8), maskingKey: 0x3D21_FA37)
        #expect(pong == [0x8A] + Self.maskedHello.dropFirst())
    }

    @Test func theRFCsLongerLengths() {
        let medium = frame(.binary, [UInt8](repeating: 7, count: 256))
        #expect(medium.prefix(4) == [0x82, 0x7E, 0x01, 0x00])
        let long = frame(.binary, [UInt8](repeating: 7, count: 65_536))
        #expect(long.prefix(10) == [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0])
    }

    // MARK: The encoder

    @Test(arguments: [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (1 << 40, 10)])
    func theLengthTakesAsFewBytesAsItCan(payload: Int, header: Int) {
        #expect(FrameEncoder.headerLength(payloadLength: payload, masked: false) == header)
        #expect(FrameEncoder.headerLength(payloadLength: payload, masked: true) == header + 4)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 14, alignment: 1)
        defer { memory.deallocate() }
        let written = FrameEncoder.writeHeader(
            into: memory, opcode: .binary, isFinal: false, payloadLength: payload, maskingKey: 0x0403_0201)
        #expect(written == header + 4)
        #expect(memory[0] == 0x02)
        #expect(memory[header..<written].elementsEqual([1, 2, 3, 4]))
        var decoder = FrameDecoder(role: .server)
        var offset = 0
        let read = try? decoder.nextHeader(in: UnsafeRawBufferPointer(memory), at: &offset)
        let expected = FrameHeader(
            isFinal: false, opcode: .binary, payloadLength: payload, maskingKey: 0x0403_0201)
        #expect(read == expected)
        #expect(offset == written)
    }

    @Test func aFrameIsMadeAroundThePayloadWhereItStands() {
        var buffer = [UInt8](repeating: 0xEE, count: 14) + Array("Hello".utf8) + [0xEE]
        let range = buffer.withUnsafeMutableBytes {
            FrameEncoder.enclose(payload: 14..<19, in: $0, opcode: .text, maskingKey: 0x3D21_FA37)
        }
        #expect(range == 8..<19)
        #expect(Array(buffer[range]) == Self.maskedHello)
        #expect(buffer[..<8].allSatisfy { $0 == 0xEE } && buffer[19] == 0xEE)
    }

    // MARK: Masking

    @Test func maskingIsTheSameAtEveryLengthOffsetAndAlignment() {
        let key: UInt32 = 0x4433_2211
        let keyBytes: [UInt8] = [0x11, 0x22, 0x33, 0x44]
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 256, alignment: 64)
        defer { memory.deallocate() }
        for alignment in 0..<9 {
            for offset in 0..<5 {
                for count in Array(0...72) + [127, 200] {
                    for index in 0..<256 { memory[index] = UInt8(index) }
                    let part = UnsafeMutableRawBufferPointer(rebasing: memory[alignment..<alignment + count])
                    Masking.apply(key, to: part, offset: offset)
                    let expected = (0..<256).map { index -> UInt8 in
                        let inside = (alignment..<alignment + count).contains(index)
                        return UInt8(index) ^ (inside ? keyBytes[(index - alignment + offset) % 4] : 0)
                    }
                    #expect(memory.elementsEqual(expected), "alignment \(alignment), offset \(offset), \(count) bytes")
                }
            }
        }
    }

    @Test func maskingTwiceGivesThePayloadBack() {
        var generator = SeededGenerator(seed: 1)
        let payload = generator.bytes(1_000)
        var bytes = payload
        for _ in 0..<2 { bytes.withUnsafeMutableBytes { Masking.apply(0xDEAD_BEEF, to: $0, offset: 3) } }
        #expect(bytes == payload)
    }

    // MARK: Rules that a header can break

    @Test(arguments: [0x40, 0x20, 0x10, 0x70] as [UInt8])
    func reservedBitsFailAtTheFirstByte(bits: UInt8) {
        for opcode: UInt8 in [0, 1, 2, 8, 9, 10] {
            #expect(clientHears([0x80 | bits | opcode]) == [.violation(.reservedBits)])
        }
    }

    @Test(arguments: [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] as [UInt8])
    func reservedOpcodesFail(opcode: UInt8) {
        #expect(clientHears([0x80 | opcode, 0]) == [.violation(.reservedOpcode(opcode))])
        #expect(
            clientHears(frame(.text, "whole"), [0x80 | opcode, 0], frame(.ping))
                == [.text("whole"), .violation(.reservedOpcode(opcode))])
    }

    @Test func aMaskedFrameFailsAClientAndAnUnmaskedOneAServer() {
        #expect(clientHears(Self.maskedHello) == [.violation(.maskedFrame)])
        var server = WebSocketStateMachine(role: .server)
        #expect(server.hear(frame(.text, "Hello")) == [.violation(.unmaskedFrame)])
    }

    @Test(arguments: [.close, .ping, .pong] as [Opcode])
    func controlFramesAreNeitherFragmentedNorLong(opcode: Opcode) {
        #expect(clientHears(frame(opcode, [], final: false)) == [.violation(.fragmentedControlFrame)])
        let tooLong = frame(opcode, [UInt8](repeating: 0x2A, count: 126))
        #expect(clientHears(tooLong) == [.violation(.controlFrameTooLong)])
        #expect(clientHears([0x80 | opcode.rawValue, 127]) == [.violation(.controlFrameTooLong)])
    }

    @Test(
        arguments: [
            [0x82, 126, 0, 0], [0x82, 126, 0, 125], [0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1],
            [0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
        ] as [[UInt8]])
    func aLengthThatIsNotMinimalFails(header: [UInt8]) {
        #expect(clientHears(header) == [.violation(.lengthNotMinimal)])
    }

    @Test func aLengthWithItsTopBitSetFails() {
        #expect(clientHears([0x82, 127, 0x80]) == [.violation(.lengthTopBitSet)])
        // The longest length that is allowed is taken, and its payload waited for.
        #expect(clientHears([0x82, 127, 0x7F] + [UInt8](repeating: 0xFF, count: 7)) == [])
    }
}
