import Testing

@testable import ControlProtocol

@Suite struct LineFramingTests {
    func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    func drain(_ framing: inout LineFraming) -> [LineFraming.Line] {
        var lines: [LineFraming.Line] = []
        while let line = framing.next() { lines.append(line) }
        return lines
    }

    @Test func linesComeOutWhateverTheSplit() {
        let text = bytes("one\n\ntwo and more\nthree\n")
        let expected: [LineFraming.Line] = ["one", "", "two and more", "three"].map { .line(bytes($0)) }
        for size in 1...text.count {
            var framing = LineFraming(maximumLength: 20)
            var lines: [LineFraming.Line] = []
            for start in stride(from: 0, to: text.count, by: size) {
                framing.append(text[start..<min(start + size, text.count)])
                lines += drain(&framing)
            }
            #expect(lines == expected, "in pieces of \(size)")
            #expect(framing.pending == 0)
        }
    }

    @Test func longLineIsToldOnceAndTheNextOneIsWhole() {
        let text = bytes("12345\n123456\n\nok\n")
        for size in 1...text.count {
            var framing = LineFraming(maximumLength: 5)
            var lines: [LineFraming.Line] = []
            for start in stride(from: 0, to: text.count, by: size) {
                framing.append(text[start..<min(start + size, text.count)])
                lines += drain(&framing)
            }
            #expect(lines == [.line(bytes("12345")), .tooLong, .line([]), .line(bytes("ok"))], "in pieces of \(size)")
        }
    }

    @Test func endlessLineHoldsNoMoreThanTheCap() {
        var framing = LineFraming(maximumLength: 1000)
        var told = 0
        for _ in 0..<100 {
            framing.append([UInt8](repeating: 120, count: 997))
            told += drain(&framing).count
            #expect(framing.pending <= 1000)
        }
        #expect(told == 1)
        framing.append(bytes("\nnext\n"))
        #expect(drain(&framing) == [.line(bytes("next"))])
    }

    @Test func whatFollowsALineIsLeftAlone() {
        var framing = LineFraming()
        framing.append(bytes("connect\nSSH-2.0-x\r\nmore\n"))
        #expect(framing.next() == .line(bytes("connect")))
        #expect(framing.takeRest() == bytes("SSH-2.0-x\r\nmore\n"))
        #expect(framing.next() == nil)
        framing.append(bytes("json again\n"))
        #expect(framing.next() == .line(bytes("json again")))
    }

    @Test func thousandsOfLinesInOneBufferComeOutWhole() {
        var framing = LineFraming()
        let line = bytes(String(repeating: "y", count: 70))
        var expected = 0
        for _ in 0..<20 {
            for _ in 0..<500 {
                framing.append(line)
                framing.append(bytes("\n"))
            }
            for _ in 0..<400 {
                #expect(framing.next() == .line(line))
                expected += 1
            }
        }
        let rest = drain(&framing)
        #expect(rest.allSatisfy { $0 == .line(line) })
        #expect(expected + rest.count == 10_000)
    }
}
