import TestSupport
import Testing

@testable import InstanceConnect

@Suite("Payload is joined across frames' headers")
struct PayloadRunTests {
    /// A buffer with headers of the byte 0 and numbered payloads.
    private struct Frames {
        var bytes: [UInt8] = []
        var payloads: [Range<Int>] = []
        var expected: [UInt8] = []

        mutating func add(header: Int, payload: Int) {
            bytes += [UInt8](repeating: 0, count: header)
            let content = (0..<payload).map { UInt8(1 + (expected.count + $0) % 255) }
            payloads.append(bytes.count..<bytes.count + payload)
            bytes += content
            expected += content
        }
    }

    private static func joined(_ frames: Frames, consuming: [Int] = []) -> [UInt8] {
        var (bytes, run, left) = (frames.bytes, PayloadRun(), [UInt8]())
        return bytes.withUnsafeMutableBytes { memory in
            for (number, payload) in frames.payloads.enumerated() {
                run.join(payload, in: memory)
                guard number < consuming.count else { continue }
                let count = min(consuming[number], run.count)
                left += memory[run.range].prefix(count)
                run.consume(count)
            }
            return left + memory[run.range]
        }
    }

    @Test func nothingIsWaitingAtFirst() {
        let run = PayloadRun()
        #expect(run.isEmpty)
        #expect(run.count == 0)
    }

    @Test func aFrameAloneStaysWhereItIs() {
        var frames = Frames()
        frames.add(header: 4, payload: 100)
        var run = PayloadRun()
        frames.bytes.withUnsafeMutableBytes { run.join(frames.payloads[0], in: $0) }
        #expect(run.range == 4..<104)
    }

    @Test func theSmallerOneMoves() {
        var (frames, run) = (Frames(), PayloadRun())
        frames.add(header: 0, payload: 10)
        frames.add(header: 4, payload: 100)
        frames.add(header: 2, payload: 5)
        let payloads = frames.payloads
        frames.bytes.withUnsafeMutableBytes { memory in
            run.join(payloads[0], in: memory)
            run.join(payloads[1], in: memory)
            #expect(run.range == 4..<114)
            run.join(payloads[2], in: memory)
            #expect(run.range == 4..<119)
        }
    }

    @Test(arguments: 0..<200)
    func allOfItInItsOrder(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var frames = Frames()
        for _ in 0..<Int.random(in: 1...20, using: &random) {
            frames.add(header: Int.random(in: 0...10, using: &random), payload: Int.random(in: 0...300, using: &random))
        }
        #expect(Self.joined(frames) == frames.expected)
        let consuming = frames.payloads.map { _ in Int.random(in: 0...400, using: &random) }
        #expect(Self.joined(frames, consuming: consuming) == frames.expected)
    }
}
