import TestSupport
import Testing
import WebSocket

/// What one side's encoder writes the other side's state machine reads, whatever is sent and however it is split.
@Suite struct RoundTripTests {
    @Test(arguments: [Role.client, .server], [11, 22, 33, 44] as [UInt64])
    func whatIsSentIsHeardInOrder(sender: Role, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var bytes: [UInt8] = []
        var expected: [Heard] = []
        let key = { (generator: inout SeededGenerator) -> UInt32? in
            sender == .client ? UInt32(truncatingIfNeeded: generator.next()) : nil
        }
        for _ in 0..<150 {
            let message = generator.bytes(
                Int.random(in: 0...300, using: &generator) << Int.random(in: 0...3, using: &generator))
            let cuts =
                ([0, message.count]
                + (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                    Int.random(in: 0...message.count, using: &generator)
                }).sorted()
            for (index, (start, end)) in zip(cuts, cuts.dropFirst()).enumerated() {
                bytes += FrameEncoder.frame(
                    index == 0 ? .binary : .continuation, isFinal: index == cuts.count - 2,
                    payload: Array(message[start..<end]), maskingKey: key(&generator))
                guard index < cuts.count - 2, Bool.random(using: &generator) else { continue }
                let payload = generator.bytes(Int.random(in: 0...125, using: &generator))
                bytes += FrameEncoder.frame(.ping, payload: payload, maskingKey: key(&generator))
                expected.append(.ping(payload))
            }
            expected.append(.binary(message))
        }
        var parts: [[UInt8]] = []
        var start = 0
        while start < bytes.count {
            let end = min(
                bytes.count,
                start + Int.random(in: 0...(1 << Int.random(in: 0...12, using: &generator)), using: &generator))
            parts.append(Array(bytes[start..<end]))
            start = end
        }
        var receiver = WebSocketStateMachine(role: sender == .client ? .server : .client)
        #expect(receiver.hear(parts) == expected)
        #expect(receiver.mayReceive)
    }

    @Test(arguments: [Role.client, .server], [7, 8, 9] as [UInt64])
    func rubbishNeverTrapsAndAlwaysEndsInAViolationOrAClose(role: Role, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<2_000 {
            var machine = WebSocketStateMachine(role: role)
            var bytes = generator.bytes(Int.random(in: 0...200, using: &generator))
            if Bool.random(using: &generator), !bytes.isEmpty { bytes[0] &= 0x8A }
            let whole = machine.hear(bytes)
            #expect(machine.mayReceive || machine.violation != nil || machine.closeReceived != nil)
            var again = WebSocketStateMachine(role: role)
            let single = again.hear(bytes, partsOf: 1)
            #expect(again.violation == machine.violation && again.closeReceived == machine.closeReceived)
            if machine.violation == nil { #expect(whole == single) }
        }
    }
}
