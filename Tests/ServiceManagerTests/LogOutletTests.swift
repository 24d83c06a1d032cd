import CLinux
import Dispatch
import Glibc
import Logging
import SocketIO
import Synchronization
import TestSupport
import Testing

@testable import ServiceManager

@Suite struct LogFormatTests {
    @Test func anEntryIsOneJSONObjectALine() {
        let entry = LogEntry(
            .error, "it said \"no\"\n\u{1B}[1m",
            ["event": "tunnel-closed", "time": "x", "forward": "a\\b", "peer": "-"])
        #expect(
            entry.json(at: "T")
                == #"{"time":"T","level":"error","message":"it said \"no\"\n\u001b[1m","event":"tunnel-closed","forward":"a\\b","time_":"x"}"#
                + "\n")
    }

    @Test func theTimeIsAsRFC3339HasIt() throws {
        let line = String(decoding: LogEntry(.info, "m", [:]).bytes(.json), as: UTF8.self)
        #expect(
            try #/\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","level":"info","message":"m"\}\n/#.wholeMatch(
                in: line) != nil)
    }

    @Test func everyKindHasAnIDOfItsOwn() {
        #expect(Set(LogKinds.ids.values).count == LogKinds.ids.count)
        #expect(LogKinds.ids.values.allSatisfy { $0.count == 32 && $0.allSatisfy(\.isHexDigit) })
    }
}

@Suite struct LogOutletTests {
    /// A sink that somebody holds shut.
    private final class Gate: LogSink {
        private struct State {
            var written: [String] = []
            var isShut = false
        }
        private let state = Mutex(State())
        private let opened = DispatchSemaphore(value: 0)

        var written: [String] { state.withLock { $0.written } }
        func set(shut: Bool) {
            state.withLock { $0.isShut = shut }
            if !shut { opened.signal() }
        }

        func attempt(_ entry: [UInt8]) -> Bool {
            state.withLock { state in
                if !state.isShut { state.written.append(String(decoding: entry, as: UTF8.self)) }
                return !state.isShut
            }
        }

        func write(_ entry: [UInt8]) {
            while state.withLock({ $0.isShut }) { opened.wait() }
            state.withLock { $0.written.append(String(decoding: entry, as: UTF8.self)) }
        }
    }

    @Test func entriesKeepTheirOrderAndTheirNumberWhileTheSinkHangs() async throws {
        let gate = Gate()
        let outlet = LogOutlet(gate, mostEntries: 10) { Array("\($0) lost".utf8) }
        outlet.send(Array("1".utf8))
        #expect(gate.written == ["1"])
        gate.set(shut: true)
        // One that the thread takes away, ten that wait; what comes then is counted.
        outlet.send(Array("2".utf8))
        for number in 3...40 { outlet.send(Array("\(number)".utf8)) }
        #expect(!outlet.isIdle)
        gate.set(shut: false)
        try await eventually("all is written") { outlet.isIdle }
        let written = gate.written
        let kept = written.filter { !$0.hasSuffix("lost") }
        #expect(kept == (1...kept.count).map { "\($0)" })
        let lost = written.filter { $0.hasSuffix("lost") }.compactMap { Int($0.prefix { $0.isNumber }) }.reduce(0, +)
        #expect(kept.count + lost == 40 && kept.count >= 11 && lost > 0, "\(written)")
        // And as if nothing had been.
        outlet.send(Array("next".utf8))
        #expect(gate.written.last == "next" && outlet.isIdle)
    }

    @Test func aJournalThatReadsNothingHoldsUpNobody() async throws {
        let folder = try TemporaryDirectory()
        let receiver = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue), 0)
        defer { close(receiver) }
        let address = try #require(SocketAddress(unixPath: folder("journal")))
        try #require(address.withSockaddr { bind(receiver, $0, $1) } == 0)
        let sink = try #require(JournalSink(path: folder("journal")))
        let outlet = LogOutlet(sink) { Array("MESSAGE=\($0) lost\n".utf8) }
        // Many times what the kernel keeps for a receiver.
        for number in 0..<3_000 { outlet.send(Array("MESSAGE=\(number)\n".utf8)) }
        #expect(!outlet.isIdle)
        var buffer = [UInt8](repeating: 0, count: 256)
        for number in 0..<3_000 {
            let count = recv(receiver, &buffer, buffer.count, 0)
            #expect(String(decoding: buffer[..<max(0, count)], as: UTF8.self) == "MESSAGE=\(number)\n")
        }
        try await eventually("nothing waits") { outlet.isIdle }
    }

    @Test func aJournalThatIsNotThereIsNotWaitedFor() throws {
        let sink = try #require(JournalSink(path: "/nowhere/journal"))
        #expect(sink.attempt([1]))
    }

    @Test func aPipeThatNobodyReadsHoldsUpNobody() async throws {
        let pipe = try makePipe()
        let destination = LogDestination.descriptor(pipe.write.raw, .text)
        let long = String(repeating: "x", count: 1_000)
        for _ in 0..<200 { destination.send(LogEntry(.info, long, [:])) }
        #expect(!destination.isIdle)
        var rest = 200 * (long.utf8.count + "info: \n".utf8.count)
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while rest > 0 { rest -= try #require(Optional(read(pipe.read.raw, &buffer, buffer.count))) }
        #expect(rest == 0)
        try await eventually("nothing waits") { destination.isIdle }
    }
}
