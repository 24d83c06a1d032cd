import Testing

@testable import Basics

@Suite struct WallTimeTests {
    @Test(
        arguments: [
            (0, "19700101T000000Z", "1970-01-01T00:00:00Z"),
            (1_440_938_160, "20150830T123600Z", "2015-08-30T12:36:00Z"),
            (951_868_799, "20000229T235959Z", "2000-02-29T23:59:59Z"),
            (4_107_542_400, "21000301T000000Z", "2100-03-01T00:00:00Z"),
            (-1, "19691231T235959Z", "1969-12-31T23:59:59Z"),
        ] as [(Int64, String, String)])
    func datesAreWrittenAndReadBack(seconds: Int64, amz: String, rfc: String) {
        let time = WallTime(secondsSinceEpoch: seconds)
        #expect(time.amzDate == amz)
        #expect(time.rfc3339 == rfc)
        #expect(WallTime(rfc3339: rfc) == time)
    }

    @Test func offsetsFractionsAndOldSuffixesAreRead() {
        let time = WallTime(secondsSinceEpoch: 1_440_938_160)
        for text in [
            "2015-08-30T14:36:00+02:00", "2015-08-30T12:36:00.123456Z", "2015-08-30T12:36:00UTC",
            "2015-08-30T04:36:00-0800",
        ] {
            #expect(WallTime(rfc3339: text) == time, "\(text)")
        }
    }

    @Test func rubbishIsNoDate() {
        for text in [
            "", "tomorrow", "2015-13-01T00:00:00Z", "2015-08-30", "2015-08-30T25:00:00Z", "2015-08-30T12:36:00Zx",
        ] {
            #expect(WallTime(rfc3339: text) == nil, "\(text)")
        }
    }

    @Test func httpDatesAreRead() {
        #expect(WallTime(httpDate: "Sun, 06 Nov 1994 08:49:37 GMT")?.secondsSinceEpoch == 784_111_777)
        #expect(WallTime(httpDate: "yesterday") == nil)
    }
}
