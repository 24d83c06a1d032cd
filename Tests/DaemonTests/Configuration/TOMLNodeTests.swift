import Testing

@testable import Daemon

@Suite struct TOMLNodeTests {
    @Test func everyKeyAndValueHasItsPlace() throws {
        let node = TOMLNode.parse(
            Array("b = 1\n\n[t.\"ü x\"]\n  a =  \"q\\u0000\\\"é\"\nc = [true, 1.5]\nd = 1979-05-27".utf8))
        let entries = try #require(node.entries)
        try #require(entries.map(\.key) == ["b", "t"])
        #expect(entries[0].line == 1 && entries[0].column == 1)
        #expect(entries[0].value.number == 1 && entries[0].value.column == 5)
        let inner = try #require(entries[1].value.entries?.first)
        #expect(inner.key == "ü x" && inner.line == 3 && inner.column == 4)
        let values = try #require(inner.value.entries)
        try #require(values.map(\.key) == ["a", "c", "d"])
        #expect(values[0].value.text == "q\0\"é" && values[0].value.line == 4 && values[0].value.column == 8)
        #expect(values[1].value.type == "array" && values[2].value.type == "date")
    }

    @Test(arguments: [
        ("a = ", 1), ("a = 1\nb = 'x", 2), ("a = 1\na = 2", 2), ("\u{1}", 1), ("[a\n", 1), ("a = 1\n\n  = 2", 3),
        ("a = 99999999999999999999", 1), ("a = 1\n[%]\nb = 2\n", 2), ("a = 1\n\n[", 3), ("[\n", 1),
    ])
    func whatIsNoTOMLNamesTheLine(text: String, line: Int) {
        let node = TOMLNode.parse(Array(text.utf8))
        #expect(node.type == "error" && node.line == line && node.text?.isEmpty == false)
    }

    @Test func bytesThatAreNotUTF8AreRefused() {
        #expect(TOMLNode.parse([0x61, 0x3D, 0x22, 0xFF, 0x22]).type == "error")
        #expect(TOMLNode.parse([0x00]).type == "error")
        #expect(TOMLNode.parse([]).entries?.isEmpty == true)
    }

    @Test func depthAndSizeAreBounded() {
        let dots = "a" + String(repeating: ".a", count: 100_000) + " = 1"
        #expect(TOMLNode.parse(Array(dots.utf8)).type == "error")
        #expect(TOMLNode.parse([UInt8](repeating: UInt8(ascii: "["), count: 100_000)).type == "error")
        let arrays = "a = " + String(repeating: "[", count: 1_000) + String(repeating: "]", count: 1_000)
        #expect(TOMLNode.parse(Array(arrays.utf8)).type == "error")
        let key = "a" + String(repeating: ".a", count: 60)
        let nested = String(repeating: "{\(key) = [\n", count: 30) + String(repeating: "]}", count: 30)
        #expect(TOMLNode.parse(Array("a = \(nested)".utf8)).type == "error")
        #expect(TOMLNode.parse([UInt8](repeating: UInt8(ascii: "\n"), count: 2 << 20)).type == "error")
        // Comments are not keys.
        #expect(TOMLNode.parse(Array(("# " + String(repeating: ".", count: 500)).utf8)).type == "table")
    }

    @Test func mutilatedDocumentsNeverTrap() {
        let document = Array(
            "[forwards.\"a.b\"]\ntarget = '''x''' # y\nlocal = [1, {a = 2}]\n[[t]]\nd = 07:32:00\n".utf8)
        var state: UInt64 = 1
        for _ in 0..<3_000 {
            var copy = document
            for _ in 0..<3 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                copy[Int(state >> 33) % copy.count] = UInt8(truncatingIfNeeded: state >> 25)
            }
            let node = TOMLNode.parse(copy)
            #expect(node.type == "error" || node.type == "table")
        }
    }
}
