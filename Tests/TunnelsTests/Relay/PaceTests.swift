import Testing

@testable import Tunnels

@Suite struct PaceTests {
    private static let start = ContinuousClock.now

    /// So many KiB at so many milliseconds after the start.
    private static func pace(_ turns: [(kibibytes: Int, milliseconds: Int)]) -> Pace {
        var pace = Pace(Pace.Limits(), at: start)
        for turn in turns { pace.carried(turn.kibibytes << 10, at: start + .milliseconds(turn.milliseconds)) }
        return pace
    }

    @Test func aTunnelBeginsWithLittleToCarry() {
        #expect(!Self.pace([]).isBulk)
        #expect(Self.pace([]).roundsPerTurn == 1)
    }

    @Test func fourMebibytesWithinAnInstantAreBulk() {
        #expect(!Self.pace([(4_095, 10)]).isBulk)
        #expect(Self.pace([(4_095, 10), (1, 50)]).isBulk)
        #expect(Self.pace([(4_096, 10)]).roundsPerTurn == 16)
    }

    @Test func whatCameBeforeTheInstantDoesNotCount() {
        #expect(!Self.pace([(4_095, 50), (1, 51)]).isBulk)
        #expect(!Self.pace([(4_095, 50), (4_095, 51)]).isBulk)
        #expect(Self.pace([(4_095, 50), (4_095, 51), (1, 101)]).isBulk)
    }

    @Test func slowerForHoursIsNoBulk() {
        #expect(!Self.pace((0..<10_000).map { (1_024, $0 * 20) }).isBulk)
    }

    @Test func bulkPausesForASecondAtMost() {
        let begun: [(Int, Int)] = [(4_096, 0)]
        #expect(Self.pace(begun + [(1, 999)]).isBulk)
        #expect(!Self.pace(begun + [(1, 1_000)]).isBulk)
        #expect(Self.pace(begun + [(8_191, 999), (1, 1_000)]).isBulk)
        #expect(!Self.pace(begun + [(8_192, 1_000), (1, 2_000)]).isBulk)
    }

    @Test func aKeyAfterHoursOfRestIsNoBulk() {
        #expect(!Self.pace([(4_096, 0), (8_192, 1_000), (1, 7_200_000)]).isBulk)
        #expect(!Self.pace([(4_096, 0), (8_192, 500), (1, 7_200_000)]).isBulk)
    }

    @Test func bulkMayBeginAnew() {
        #expect(Self.pace([(4_096, 0), (0, 1_000), (4_096, 1_010)]).isBulk)
    }

    /// A move brings a tunnel to a loop whose turn began a moment earlier.
    @Test func aClockThatIsAMomentBehindDoesNoHarm() {
        #expect(Self.pace([(4_095, 10), (1, 5)]).isBulk)
        #expect(Self.pace([(4_096, 10), (1, 5)]).isBulk)
    }
}
