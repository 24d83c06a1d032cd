import Failures
import Testing

@Suite struct DurationTextTests {
    @Test(
        arguments: [
            ("90s", .seconds(90)), ("10m", .seconds(600)), ("1h", .seconds(3_600)), ("1h30m", .seconds(5_400)),
            ("500ms", .milliseconds(500)), ("1h1m1s1ms", .milliseconds(3_661_001)), ("1m500ms", .milliseconds(60_500)),
            ("0s", .zero), ("0", .zero), ("90", .seconds(90)), ("007s", .seconds(7)),
        ] as [(String, Duration)])
    func readsWhatPeopleWrite(text: String, duration: Duration) {
        #expect(DurationText.parse(text) == duration)
    }

    @Test(arguments: [
        "", " ", "s", "-1s", "+1s", "1.5h", "1 h", " 1h", "1h ", "1H", "1d", "30m1h", "1h1h", "1h30", "1m1", "ms",
        "10000000000s", "99999999999999999999", "1sm", "é", "1é", "٣s", "\u{0}",
    ])
    func refusesAllElse(text: String) {
        #expect(DurationText.parse(text) == nil)
    }

    @Test(
        arguments: [
            (.seconds(3_600), "1h"), (.seconds(5_400), "1h30m"), (.seconds(90), "1m30s"), (.milliseconds(500), "500ms"),
            (.zero, "0s"), (.milliseconds(-1_500), "-1s500ms"), (.microseconds(10), "0s"), (.seconds(86_400), "24h"),
        ] as [(Duration, String)])
    func writesTheShortestForm(duration: Duration, text: String) {
        #expect(DurationText.format(duration) == text)
    }

    @Test func readsWhatItWrites() {
        for milliseconds in stride(from: 0, to: 100_000_000, by: 777_777) {
            let duration = Duration.milliseconds(milliseconds)
            #expect(DurationText.parse(DurationText.format(duration)) == duration)
        }
        #expect(DurationText.format(.seconds(Int64.max)) == "\(Int64.max)s")
    }
}
