import Glibc
import Logging
import Testing

@testable import ServiceManager

@Suite struct JournalTests {
    @Test func anEntryHasItsPriorityAndFields() {
        let entry = LogEntry(
            .warning, "refused",
            ["event": "tunnel-closed", "forward": "db", "request_id": "a b", "reason": "x\ny", "endpoint": "-"])
        let fields = JournalEntry.fields(entry).map { "\($0.name)=\($0.value)" }
        #expect(
            fields == [
                "MESSAGE=refused forward=db reason=x\\ny request_id=\"a b\"", "PRIORITY=4", "SYSLOG_IDENTIFIER=eiced",
                "MESSAGE_ID=0f1a1707eb3141e2b7ef0a71e8e936a3", "EICED_FORWARD=db", "EICED_REASON=x\\ny",
                "EICED_REQUEST_ID=a b",
            ])
    }

    @Test("no value has lines, so each field is one line of the journal's protocol") func eachFieldIsOneLine() {
        let bytes = JournalEntry.bytes(LogEntry(.info, "m", ["reason": "x\r\ny\u{1B}\u{2028}"]))
        let text = "MESSAGE=m reason=x\\r\\ny\\u{1B}\\u{2028}\nPRIORITY=6\nSYSLOG_IDENTIFIER=eiced\n"
        #expect(String(decoding: bytes, as: UTF8.self) == text + "EICED_REASON=x\\r\\ny\\u{1B}\\u{2028}\n")
    }

    @Test(arguments: [
        ("forward", "EICED_FORWARD"), ("requestID", "EICED_REQUEST_ID"), ("request-id", "EICED_REQUEST_ID"),
        ("a.b", "EICED_A_B"), ("é1", "EICED___1"), ("", nil), ("__", nil), ("é", nil),
        (String(repeating: "x", count: 100), "EICED_" + String(repeating: "X", count: 58)),
    ])
    func aKeyBecomesAName(key: String, name: String?) {
        #expect(JournalEntry.name(key) == name)
    }

    @Test func priorityFallsWithSeriousness() {
        #expect(Logger.Level.allCases.map(JournalEntry.priority) == [7, 7, 6, 5, 4, 3, 2])
    }

    @Test func onlyTheDescriptorThatTheVariableNamesIsTheJournal() throws {
        var ends: [CInt] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        var status = stat()
        try #require(fstat(ends[1], &status) == 0)
        let name = "\(status.st_dev):\(status.st_ino)"
        #expect(JournalStream.isConnected(descriptor: ends[1], variable: name))
        #expect(!JournalStream.isConnected(descriptor: STDIN_FILENO, variable: name))
        #expect(!JournalStream.isConnected(descriptor: -1, variable: name))
        for bad in [nil, "", ":", "1:2", "x:y", "\(name):1", "-\(name)"] {
            #expect(!JournalStream.isConnected(descriptor: ends[1], variable: bad))
        }
    }
}
