import Failures
import Testing

@Suite struct ListTextTests {
    @Test("a list of up to five things is shown whole")
    func short() {
        #expect(ListText.brief([]) == "")
        #expect(ListText.brief(["a"]) == "a")
        #expect(ListText.brief(["a", "b", "c", "d", "e"]) == "a, b, c, d, e")
    }

    @Test("a longer list names five things and counts the others")
    func long() {
        #expect(ListText.brief((1...6).map(String.init)) == "1, 2, 3, 4, 5 and 1 more")
        #expect(ListText.brief((1...9_000).map(String.init), separator: "; ") == "1; 2; 3; 4; 5 and 8995 more")
    }

    @Test("an item of a list is cut when it is long")
    func longItems() {
        #expect(ListText.brief([String(repeating: "x", count: 200)], longest: 10) == "xxxxxxxxxx…")
        #expect(ListText.brief(["ä"], longest: 1) == "ä")
    }

    @Test("of many lines five are shown, and one counts the others")
    func lines() {
        #expect(ListText.brief(lines: ["a", "b"], of: "warnings") == ["a", "b"])
        #expect(
            ListText.brief(lines: (1...7).map(String.init), of: "warnings")
                == ["1", "2", "3", "4", "5", "and 2 more warnings"])
    }
}
