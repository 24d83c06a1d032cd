import TestSupport
import Testing

@testable import Soak

/// What a soak decides about what happened.
@Suite struct JudgementTests {
    private func end(_ number: Int, _ reason: String) -> ReportedEnd {
        ReportedEnd(tunnel: "t\(number)", forward: "a", target: "i-1", reason: reason, sentence: "the \(reason)")
    }

    @Test func sessionsMeetTheirEndsInTheOrderInWhichTheyBegan() {
        let judgement = Judgement(
            of: "a", outcomes: [.whole, .broken("3 of 4 bytes"), .whole],
            // The second one ended last.
            ends: [end(9, "local-closed"), end(12, "failed"), end(10, "idle-timeout")])
        #expect(judgement.whole == 2 && judgement.failedWithReason == 1 && judgement.unexplained.isEmpty)
        #expect(judgement.reasons == ["idle-timeout": 1])
    }

    @Test(arguments: ["local-closed", "remote-closed", "client-left"])
    func aSessionThatLostBytesByAnOrderlyEndIsUnexplained(reason: String) {
        let judgement = Judgement(of: "a", outcomes: [.broken("3 of 4 bytes")], ends: [end(1, reason)])
        #expect(judgement.unexplained == ["a 1: 3 of 4 bytes; the \(reason)"])
        #expect(judgement.failedWithReason == 0)
    }

    @Test func aByteThatNobodySentIsUnexplainedWhateverTheReason() {
        let judgement = Judgement(of: "a", outcomes: [.altered("a byte after 7")], ends: [end(1, "failed")])
        #expect(judgement.unexplained == ["a 1: a byte after 7"])
    }

    @Test func anEndThatIsMissingAndOneTooManyAreTold() {
        #expect(Judgement(of: "a", outcomes: [.whole], ends: []).unexplained == ["a: 1 sessions, and the audit has 0"])
        #expect(Judgement(of: "a", outcomes: [], ends: [end(1, "failed")]).unexplained.count == 1)
        let lost = Judgement(of: "a", outcomes: [.broken("nothing came")], ends: [])
        #expect(lost.unexplained.contains("a 1: nothing came; no end was told"))
    }

    @Test func eachPromiseThatIsBrokenIsNamed() {
        var report = SoakReport(seconds: 1, harmfulFaults: 1)
        report.judgement = Judgement(
            of: "a", outcomes: [.whole, .broken("x")], ends: [end(1, "local-closed"), end(2, "failed")])
        #expect(report.brokenPromises == [])
        #expect(report.lines.contains("soak_sessions=2") && report.lines.contains("soak_unexplained=0"))

        func broken(_ change: (inout SoakReport) -> Void) -> [String] {
            var changed = report
            change(&changed)
            return changed.brokenPromises
        }
        #expect(broken { $0.slotsLeft = 1 } == ["1 slots were not given back"])
        #expect(broken { $0.after.descriptors = 1 } == ["descriptors have grown"])
        #expect(broken { $0.after.threads = 1 } == ["threads have grown"])
        #expect(broken { $0.after.memory = SoakReport.memoryMargin + 1 } == ["memory has grown"])
        #expect(broken { $0.judgement.unexplained = ["a"] } == ["1 sessions or bytes have no explanation"])
        #expect(broken { $0.judgement.failedWithReason = 0 }.contains("no fault ended a session"))
        #expect(broken { $0.judgement = Judgement() }.contains("there was no session"))
    }
}

@Suite struct FaultScheduleTests {
    @Test func everyKindStrikesOpenConnectionsAndDialsAndTheSeedDecidesTheRest() {
        func strikes(_ seed: UInt64) -> [FaultSchedule.Strike] {
            var schedule = FaultSchedule(seed: seed)
            return (0..<14).map { _ in schedule.next() }
        }
        let drawn = strikes(1)
        for fault in FaultSchedule.kinds {
            let own = drawn.filter { $0.fault == fault }
            #expect(own.count == 2 && own.count { $0.victim == .open } == 1, "\(fault)")
        }
        #expect(drawn == strikes(1))
        #expect(drawn != strikes(2))
    }
}
