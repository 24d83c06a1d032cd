import Glibc
import TestSupport
import Testing

@testable import Soak

@Suite struct AuditFollowerTests {
    private func line(_ number: Int) -> String {
        #"{"tunnel":"t\#(number)","target":"i-1","reason":"failed","sentence":"s","more":{"x":1}}"# + "\n"
    }

    private func append(_ text: String, to path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        defer { close(file) }
        guard Array(text.utf8).withUnsafeBytes({ write(file, $0.baseAddress, $0.count) }) == text.utf8.count else {
            throw TestFailure("cannot write \(path)")
        }
    }

    @Test func itReadsOnWhereAFileWasSetAside() throws {
        let folder = try TemporaryDirectory()
        let path = folder("audit.jsonl")
        var follower = AuditFollower(path)
        try follower.read()
        #expect(follower.ends.isEmpty)
        try append(line(1) + "{\"tunnel\":\"t2\"", to: path)
        try follower.read()
        #expect(follower.ends.map(\.number) == [1], "half a line waits for its end")
        try append(line(2).dropFirst("{\"tunnel\":\"t2\"".count).description + line(3), to: path)
        rename(path, folder("audit.jsonl.1"))
        try append(line(4), to: path)
        try follower.read()
        #expect(follower.ends.map(\.number) == [1, 2, 3, 4])
        try append(line(5), to: path)
        try follower.read()
        #expect(follower.ends.map(\.number) == [1, 2, 3, 4, 5])
    }
}
