import Testing

@testable import SocketIO

@Suite struct RetryBackoffTests {
    @Test func waitsGrowFromASecondToAMinute() {
        var backoff = RetryBackoff()
        let waits = (0..<9).map { _ in backoff.next() }
        #expect(waits == [1, 2, 4, 8, 16, 32, 60, 60, 60].map { .seconds($0) })
        backoff.reset()
        let first = backoff.next()
        #expect(first == .seconds(1))
    }

    @Test("a listener accepts again within a quarter of a second of the end of its trouble")
    func acceptBackoff() {
        var backoff = Listener.acceptBackoff()
        #expect(backoff.isFresh)
        let waits = (0..<9).map { _ in backoff.next() }
        #expect(waits == [5, 10, 20, 40, 80, 160, 250, 250, 250].map { .milliseconds($0) })
        #expect(!backoff.isFresh)
        backoff.reset()
        #expect(backoff.isFresh)
        let first = backoff.next()
        #expect(first == .milliseconds(5))
    }
}
