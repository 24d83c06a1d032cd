import Testing

@testable import SocketIO

/// Collections give back the room of a crowd, and no more than that.
@Suite struct RoomTests {
    @Test func afterACrowdAFewNeedLittle() {
        var list = Array(0..<10_000)
        list.removeLast(9_990)
        list.giveBackRoom()
        #expect(list == Array(0..<10))
        #expect(list.capacity < 256)

        var table = Dictionary(uniqueKeysWithValues: (0..<10_000).map { ($0, -$0) })
        for key in 10..<10_000 { table[key] = nil }
        table.giveBackRoom()
        #expect(table == Dictionary(uniqueKeysWithValues: (0..<10).map { ($0, -$0) }))
        #expect(table.capacity < 256)
    }

    @Test func whereThereAreNoneNothingIsKept() {
        var list = Array(0..<100)
        list.removeAll(keepingCapacity: true)
        list.giveBackRoom()
        #expect(list.capacity == 0)
        var table = [1: 1]
        table[1] = nil
        table.giveBackRoom()
        #expect(table.capacity == 0)
    }

    @Test func whoUsesHisRoomKeepsIt() {
        var list = Array(0..<1_000)
        list.reserveCapacity(2_000)
        let before = list.capacity
        list.giveBackRoom()
        #expect(list.capacity == before)
    }
}
