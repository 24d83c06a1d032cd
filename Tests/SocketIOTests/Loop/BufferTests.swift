import Testing

@testable import SocketIO

@Suite struct BufferTests {
    @Test("bytes go in at the end of a buffer and out at its start")
    func aBuffer() {
        let pool = BufferPool()
        let buffer = pool.borrow()
        #expect(buffer.memory.count == BufferPool.capacity && buffer.isEmpty && buffer.room == BufferPool.capacity)
        buffer.free.copyBytes(from: [1, 2, 3])
        buffer.end += 3
        #expect(Array(buffer.filled) == [1, 2, 3] && buffer.count == 3 && buffer.room == BufferPool.capacity - 3)
        buffer.consume(2)
        #expect(Array(buffer.filled) == [3] && buffer.start == 2)
        buffer.consume(1)
        #expect(buffer.isEmpty && buffer.start == 0 && buffer.end == 0, "an emptied one has all of its room again")
        pool.giveBack(buffer)
    }

    @Test("a pool counts what is out, and lends a buffer again, empty")
    func aPool() {
        let pool = BufferPool()
        let first = pool.borrow()
        first.end = 9
        _ = pool.borrow()
        #expect(pool.lent == 2)
        pool.giveBack(first)
        #expect(pool.lent == 1)
        let again = pool.borrow()
        #expect(again === first && again.isEmpty && pool.lent == 2)
        pool.giveBack(again)
        pool.becomeQuiet()
        #expect(pool.borrow() !== first)
    }

    @Test("a pool keeps no more than sixteen buffers")
    func aPoolOfACrowd() {
        let pool = BufferPool()
        let buffers = (0..<40).map { _ in pool.borrow() }
        for buffer in buffers { pool.giveBack(buffer) }
        let kept = (0..<40).map { _ in pool.borrow() }.count { buffer in buffers.contains { $0 === buffer } }
        #expect(kept == 16)
    }
}
