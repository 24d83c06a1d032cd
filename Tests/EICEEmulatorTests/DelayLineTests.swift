import Testing

@testable import EICEEmulator

@Suite struct DelayLineTests {
    private let start = ContinuousClock.now

    private func at(_ milliseconds: Int) -> ContinuousClock.Instant { start + .milliseconds(milliseconds) }

    private func put(_ text: String, into line: inout DelayLine, due: Int) {
        Array(text.utf8).withUnsafeBytes { line.append($0, due: at(due)) }
    }

    private func take(_ line: inout DelayLine, _ count: Int = 100, at time: Int) -> String {
        var memory = [UInt8](repeating: 0, count: count)
        let got = memory.withUnsafeMutableBytes { line.take(into: $0, at: at(time)) }
        return String(decoding: memory[..<got], as: UTF8.self)
    }

    @Test func nothingComesOutBeforeItsTime() {
        var line = DelayLine()
        put("a", into: &line, due: 10)
        put("b", into: &line, due: 20)
        #expect(line.nextDue == at(10))
        #expect(take(&line, at: 9) == "")
        #expect(take(&line, at: 10) == "a")
        #expect(take(&line, at: 30) == "b")
        #expect(line.isEmpty && line.nextDue == nil)
    }

    @Test func nothingOvertakes() {
        var line = DelayLine()
        put("first", into: &line, due: 30)
        put("second", into: &line, due: 10)
        line.appendEnd(due: at(5))
        #expect(take(&line, at: 29) == "")
        #expect(!line.hasEnded(at: at(29)))
        #expect(take(&line, 7, at: 30) == "firstse")
        #expect(!line.hasEnded(at: at(30)))
        #expect(take(&line, at: 30) == "cond")
        #expect(line.hasEnded(at: at(30)))
    }

    @Test func manyChunksKeepTheirOrder() {
        var line = DelayLine()
        var out = ""
        for number in 0..<1_000 {
            put("\(number % 10)", into: &line, due: number)
            if number > 200 { out += take(&line, 1, at: number) }
        }
        out += take(&line, 1_000, at: 2_000)
        #expect(out == (0..<1_000).map { "\($0 % 10)" }.joined())
        #expect(line.count == 0)
    }
}
