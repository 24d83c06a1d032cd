import Testing

@testable import OpenSSL

@Suite struct StagingAreaTests {
    @Test("bytes go in behind the filled part and out at its start")
    func aStagingArea() {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 8, alignment: 1)
        defer { memory.deallocate() }
        var area = StagingArea()
        #expect(area.isEmpty && area.free.count == 0 && area.filled.count == 0, "nothing is lent")
        area.lend(memory)
        #expect(area.free.count == 8)
        area.free.copyBytes(from: [1, 2, 3] as [UInt8])
        area.append(3)
        #expect(Array(area.filled) == [1, 2, 3] && area.free.count == 5)
        area.consume(1)
        #expect(Array(area.filled) == [2, 3] && area.free.count == 5 && area.start == 1)
        area.consume(2)
        #expect(area.isEmpty && area.free.count == 8, "an empty area has all of its room again")
        area.takeBack()
        #expect(area.free.count == 0)
        area.lend(memory)
        #expect(area.start == 0 && area.end == 0)
    }
}
