import Failures
import Glibc
import SocketIO
import TestSupport
import Testing

@testable import Daemon

@Suite struct HandoverMessageTests {
    @Test func messagesArriveWithTheirDescriptors() throws {
        let (here, there) = try HandoverSocket.pair()
        let file = FileDescriptor(takingOwnership: open("/dev/null", O_RDONLY | O_CLOEXEC))
        let message = HandoverMessage(.descriptors, name: "f.web.4")
        #expect(try HandoverSocket.send(HandoverPacket(message: message, descriptors: [file]), on: here))
        guard case .packet(let packet) = try HandoverSocket.receive(from: there) else {
            Issue.record("nothing came")
            return
        }
        #expect(packet.message == message && packet.descriptors.count == 1)
        guard case .nothing = try HandoverSocket.receive(from: there) else {
            Issue.record("something more came")
            return
        }
        here.close()
        guard case .end = try HandoverSocket.receive(from: there) else {
            Issue.record("the end did not come")
            return
        }
    }

    /// The two processes are of different releases.
    @Test(arguments: [
        #"{"kind":"taken","slots":[],"colour":"red"}"#, #"{"kind":"a kind of the future","name":5}"#, "no JSON",
    ])
    func whatIsNotKnownIsNoError(text: String) throws {
        let (here, there) = try HandoverSocket.pair()
        #expect(send(here.raw, text, text.utf8.count, 0) == text.utf8.count)
        switch try HandoverSocket.receive(from: there) {
        case .packet(let packet): #expect(packet.message.kind == .taken)
        case .unknown: #expect(!text.contains("taken"))
        case .nothing, .end: Issue.record("nothing came")
        }
    }

    @Test func whatIsPassedOnIsReceivedInOnePiece() throws {
        let (here, there) = try HandoverSocket.pair()
        for name in ["control", "f.web.4", "f.web.6", "p.42"] {
            let file = FileDescriptor(takingOwnership: open("/dev/null", O_RDONLY | O_CLOEXEC))
            let packet = HandoverPacket(message: HandoverMessage(.descriptors, name: name), descriptors: [file])
            #expect(try HandoverSocket.send(packet, on: here))
        }
        #expect(try HandoverSocket.send(HandoverPacket(message: HandoverMessage(.complete)), on: here))
        let inheritance = try Inheritance.receive(from: there)
        #expect(inheritance.descriptors.names == ["control", "f.web.4", "f.web.6", "p.42"])
    }

    @Test func aPredecessorThatEndsIsNotWaitedFor() throws {
        let (here, there) = try HandoverSocket.pair()
        here.close()
        #expect(throws: Failure.self) { try Inheritance.receive(from: there) }
    }
}

@Suite struct HandoverChannelTests {
    private final class Watch {
        weak var channel: HandoverChannel?
    }

    /// As the new process does when it is told to go on: what hears the word knows the channel.
    @Test func oneThatIsReleasedIsHeldByNobody() async throws {
        let loop = try Loop(label: "test")
        let (here, there) = try HandoverSocket.pair()
        let watch = await withCheckedContinuation { continuation in
            loop.submit { loop in
                let watch = Watch()
                if let channel = try? HandoverChannel(here, on: loop) {
                    channel.onMessage = { _ in channel.release(on: loop) }
                    channel.onEnd = { channel.release(on: loop) }
                    watch.channel = channel
                }
                continuation.resume(returning: LoopBound(watch, on: loop))
            }
        }
        func isThere() async -> Bool {
            await withCheckedContinuation { continuation in
                loop.submit { loop in continuation.resume(returning: watch.get(on: loop).channel != nil) }
            }
        }
        #expect(await isThere())
        #expect(try HandoverSocket.send(HandoverPacket(message: HandoverMessage(.go)), on: there))
        try await eventually("it is gone") { await !isThere() }
    }
}

@Suite struct SuccessorProgramTests {
    private let variables = [
        "HOME=/home/a", "LISTEN_PID=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=a:b", "WATCHDOG_PID=1", "WATCHDOG_USEC=5",
        "NOTIFY_SOCKET=/run/n", "EICED_HANDOVER=9",
    ]

    @Test func whatBelongsToOneProcessStaysBehind() {
        let program = SuccessorProgram(path: "/usr/bin/eiced", arguments: [], environment: variables)
        #expect(
            program.successorEnvironment == [
                "HOME=/home/a", "WATCHDOG_USEC=5", "NOTIFY_SOCKET=/run/n", "EICED_HANDOVER=3",
            ])
    }

    @Test func theNewProcessIsNobodysChildAndHasItsOwnNumber() async throws {
        let (here, there) = try HandoverSocket.pair()
        let folder = try TemporaryDirectory()
        // Built-in commands alone: a shell blocks signals while it forks.
        let script =
            #"while IFS= read -r line; do echo "$line"; done < /proc/$$/status > "$OUT/status"; echo "$WATCHDOG_PID $$ $1" > "$OUT/self"; echo hello >&3"#
        let program = SuccessorProgram(
            path: "/bin/sh", arguments: ["sh", "-c", script, "-", "argument"],
            environment: variables + ["OUT=\(folder.path)", "PATH=/usr/bin:/bin"])
        let process = try program.start(channel: there)
        there.close()
        try await eventually("it writes to its channel") {
            if case .unknown = try HandoverSocket.receive(from: here) { return true }
            return false
        }
        #expect(contents(of: folder("self")) == "\(process) \(process) argument\n")
        let status = try #require(contents(of: folder("status")))
        #expect(!status.contains("PPid:\t\(getpid())\n"))
        // Signals as at log-in: none is blocked or ignored, but for the two that belong to the C library.
        for name in ["SigBlk:\t", "SigIgn:\t"] {
            let line = status.split(separator: "\n").first { $0.hasPrefix(name) }
            let signals = try #require(line.flatMap { UInt64($0.dropFirst(name.count), radix: 16) })
            #expect(signals & ~0x1_8000_0000 == 0, "\(status)")
        }
    }

    @Test func whatCannotBeStartedIsSaid() throws {
        let (_, there) = try HandoverSocket.pair()
        let program = SuccessorProgram(path: "/nowhere/eiced", arguments: ["eiced"], environment: [])
        #expect(throws: SystemError("start /nowhere/eiced", code: ENOENT)) { try program.start(channel: there) }
    }
}
