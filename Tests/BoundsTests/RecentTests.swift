import Testing

@testable import Bounds

@Suite struct RecentTests {
    private let start = ContinuousClock.now

    private func at(_ hours: Double) -> ContinuousClock.Instant { start + .seconds(hours * 3_600) }

    @Test("a value is forgotten a day after its last use")
    func forgetting() {
        var recent = Recent<String, Int>()
        recent.set(1, for: "unused", at: at(0))
        recent.set(2, for: "used", at: at(0))
        #expect(recent.use("used", at: at(20)) == 2)
        #expect(recent.peek("unused") == 1, "which is no use")
        recent.forgetUnused(at: at(23.9))
        #expect(recent.count == 2)
        recent.forgetUnused(at: at(24.2))
        #expect(recent.values == [2])
        recent.set(3, for: "other", at: at(44.5))
        #expect(recent.keys == ["other"], "to keep something else is enough")
    }

    @Test("a value that something needs stays")
    func needed() {
        var recent = Recent<String, Int> { $0 == 0 }
        recent.set(0, for: "idle", at: at(0))
        recent.set(1, for: "busy", at: at(0))
        recent.forgetUnused(at: at(25))
        #expect(recent.keys == ["busy"])
        recent.update("busy", default: 5, at: at(25)) { $0 = 0 }
        recent.forgetUnused(at: at(48))
        #expect(recent.count == 1)
        recent.forgetUnused(at: at(50))
        #expect(recent.count == 0)
    }
}
