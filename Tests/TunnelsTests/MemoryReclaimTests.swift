import Testing

@testable import Tunnels

@Suite struct MemoryReclaimTests {
    /// The counts after which memory is given back, while the open tunnels go through `counts`.
    private func reclaims(_ counts: [Int]) -> [Int] {
        var reclaim = MemoryReclaim()
        return counts.filter { reclaim.changed(toOpen: $0) }
    }

    @Test func memoryIsGivenBackEachTimeThatHalfOfTheTunnelsHaveEnded() {
        #expect(reclaims(Array(0...1_000) + (0..<1_000).reversed()) == [500, 250, 125, 62])
    }

    @Test func aFewTunnelsAreNotWorthIt() {
        #expect(reclaims(Array(0...63) + (0..<63).reversed()) == [])
    }

    @Test func whoOpensOneForEachThatEndsIsLeftAlone() {
        #expect(reclaims(Array(0...200) + (0..<1_000).flatMap { _ in [199, 200] }) == [])
    }

    @Test func aSecondCrowdCountsAnew() {
        #expect(reclaims([100, 50, 100, 50]) == [50, 50])
    }
}
