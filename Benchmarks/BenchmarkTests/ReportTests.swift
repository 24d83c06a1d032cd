import Testing

@testable import Benchmark

/// What the figures are made of, and how they are printed.
@Suite struct ReportTests {
    @Test func aMedianLiesBetweenTheTwoInTheMiddle() {
        #expect(Samples([3, 1, 2]).median == 2)
        #expect(Samples([4, 1, 2, 3]).median == 2.5)
        #expect(Samples([7]).quantile(0.99) == 7)
        #expect(Samples([]).median == 0)
        #expect(Samples([0, 10]).quantile(0.25) == 2.5)
        #expect(Samples([.milliseconds(3), .milliseconds(1)], per: .milliseconds(1)).median == 2)
    }

    @Test(arguments: [
        (0, "0"), (0.0004, "0.000"), (0.8124, "0.812"), (3.06, "3.06"), (9.999, "10.00"), (21.44, "21.4"),
        (1_204.4, "1,204"), (5_000_000, "5,000,000"), (1_000_007, "1,000,007"), (-3.5, "-3.50"), (-0.0001, "0.000"),
    ]) func numbersHaveThreeDigitsThatCount(value: Double, text: String) {
        #expect(Figure.number(value) == text)
    }

    @Test func aMissedBarStandsOut() {
        let figure = Samples([1, 1.1, 1.2]).figure(.roundTrips)
        #expect(figure.markdown == "1.10 (1.05–1.15) round trips")
        #expect(figure.atMost(1.2).markdown == "1.10 (1.05–1.15) round trips, bar ≤ 1.20")
        #expect(figure.atMost(1).markdown == "**1.10 (1.05–1.15) round trips, bar ≤ 1.00, missed**")
        #expect(figure.atLeast(1.1).reached == true)
        #expect(figure.atLeast(1.2).reached == false)
    }

    @Test func aTableIsMarkdownAndKnowsItsBars() {
        var table = ReportTable("Cost", columns: ["time", "memory"], notes: ["One.", "Two."])
        table.add("few", Figure(1, .milliseconds).atMost(2), nil)
        table.add("many", Figure(3, .milliseconds).atMost(2), Figure(20, .kibibytes))
        #expect(
            table.markdown == """
                ### Cost

                |  | time | memory |
                |---|---|---|
                | few | 1.00 ms, bar ≤ 2.00 | – |
                | many | **3.00 ms, bar ≤ 2.00, missed** | 20.0 KiB |

                One. Two.

                """)
        var report = Report(machine: Machine(processor: "p", cores: 2, memoryMiB: 1, kernel: "k"))
        report.parts = [Report.Part(scenario: "s", tables: [table])]
        #expect(report.barCount == 2)
        #expect(report.missed == ["Cost: many, time"])
    }

    @Test func scenariosHaveNamesOfTheirOwn() {
        let names = Scenarios.all.map { $0.name }
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { $0.allSatisfy { $0.isLetter && $0.isLowercase || $0 == "-" } })
    }
}
