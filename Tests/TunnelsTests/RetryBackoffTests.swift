import Testing

@testable import Tunnels

@Suite struct RetryBackoffTests {
    @Test func waitsGrowFromASecondToAMinute() {
        var backoff = RetryBackoff()
        let waits = (0..<9).map { _ in backoff.next() }
        #expect(waits == [1, 2, 4, 8, 16, 32, 60, 60, 60].map { .seconds($0) })
        backoff.reset()
        let first = backoff.next()
        #expect(first == .seconds(1))
    }
}
