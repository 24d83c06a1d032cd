import Testing

@testable import Tunnels

@Suite struct MemoryReclaimTests {
    /// The counts at which memory is given back, while the open tunnels go through `counts`.
    private func reclaims(_ counts: [Int]) -> [Int] {
        var reclaim = MemoryReclaim()
        return counts.filter { count in
            guard reclaim.changed(toOpen: count) else { return false }
            _ = reclaim.gaveBack(withOpen: count)
            return true
        }
    }

    @Test func memoryIsGivenBackEachTimeThatThereAreHalfAsManyAgain() {
        #expect(reclaims(Array(0...500)) == [64, 96, 144, 216, 324, 486])
    }

    @Test func memoryIsGivenBackEachTimeThatHalfOfTheTunnelsHaveEnded() {
        #expect(reclaims([1_000] + (0..<1_000).reversed()) == [1_000, 500, 250, 125, 62])
    }

    @Test func whatHappensBeforeItIsGivenBackIsPartOfIt() {
        var reclaim = MemoryReclaim()
        #expect(reclaim.changed(toOpen: 64) && reclaim.changed(toOpen: 1_000))
        let haveEnded = reclaim.gaveBack(withOpen: 1_000)
        #expect(!haveEnded)
        #expect(!reclaim.changed(toOpen: 1_499) && reclaim.changed(toOpen: 1_500))
    }

    /// What lives on is made anew where it was made beside others that have gone, and only then.
    @Test func onlyWhereTunnelsHaveEndedIsAnythingMadeAnew() {
        var reclaim = MemoryReclaim()
        var outcomes: [Bool] = []
        for count in [64, 200, 100, 100, 150, 30, 10] {
            _ = reclaim.changed(toOpen: count)
            outcomes.append(reclaim.gaveBack(withOpen: count))
        }
        #expect(outcomes == [false, false, true, false, false, true, false])
    }

    @Test func aFewTunnelsAreNotWorthIt() {
        #expect(reclaims(Array(0...63) + (0..<63).reversed()) == [])
    }

    @Test func whoOpensOneForEachThatEndsIsLeftAlone() {
        #expect(reclaims([200] + (0..<1_000).flatMap { _ in [199, 200] }) == [200])
    }

    @Test func aSecondCrowdCountsAnew() {
        #expect(reclaims([100, 50, 100, 50]) == [100, 50, 100, 50])
    }
}
