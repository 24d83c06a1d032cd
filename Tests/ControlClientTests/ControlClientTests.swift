import CLinux
import ControlCodec
import ControlProtocol
import Failures
import Glibc
import SocketIO
import TestSupport
import Testing

@testable import ControlClient
@testable import ControlConnect

@Suite(.serialized) struct ControlClientTests {
    let daemon: ScriptedDaemon
    let client: ControlClient

    init() throws {
        daemon = try ScriptedDaemon()
        client = try ControlClient(
            connected: daemon.near, path: "/test.sock", client: "test 1", timeout: .milliseconds(50))
    }

    func failure<Value>(_ body: () throws(Failure) -> Value) -> Failure? {
        do {
            _ = try body()
            return nil
        } catch {
            return error
        }
    }

    /// As `eicectl proxy` does it: the session opens the tunnel, or the client goes on where it stopped.
    func connect(
        _ parameters: ConnectParameters, watching: CInt? = nil, onNotice: (ConnectNotice) -> Void = { _ in }
    ) throws(Failure) -> OpenedTunnel {
        let session = try ConnectSession(
            connected: daemon.near, path: "/test.sock", client: "test 1", timeout: .milliseconds(50))
        if let tunnel = try session.open(parameters, watching: watching) { return tunnel }
        return try client.resume(parameters, awaiting: session.awaited, watching: watching, onNotice: onNotice)
    }

    @Test func callSaysHelloFirstAndReturnsTheResult() throws {
        daemon.sayHello()
        daemon.say(#"{"jsonrpc":"2.0","id":2,"result":{"forwards":[]}}"# + "\n")
        #expect(try client.call(Methods.ForwardList.self, NoParameters()) == ForwardListResult(forwards: []))
        let lines = daemon.heard().split(separator: "\n")
        try #require(lines.count == 2)
        #expect(try ControlRequest.parse(lines[0].utf8) == (.number(1), .hello(.init(client: "test 1"))))
        #expect(try ControlRequest.parse(lines[1].utf8) == (.number(2), .forwardList))
    }

    @Test func errorOfTheDaemonIsThrownAsItIs() throws {
        let expected = Failure(.nameTaken, "the name web is taken", why: "by i-1", hint: "eicectl rm web")
        daemon.sayHello()
        daemon.say(
            String(
                decoding: try ControlWire.line(ErrorEnvelope(id: .number(2), error: ErrorObject(expected))),
                as: UTF8.self))
        #expect(failure { () throws(Failure) in try client.call(Methods.Status.self, NoParameters()) } == expected)
    }

    @Test func errorWithoutAnIDConcernsTheRequestThatWaits() throws {
        daemon.say(#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"# + "\n")
        #expect(failure { () throws(Failure) in try client.hello() }?.what == "m")
    }

    @Test func eventsBetweenRepliesAreKept() throws {
        daemon.sayHello()
        let event = ControlEvent(.loginNeeded, at: Timestamp(milliseconds: 5))
        let line = String(decoding: try ControlWire.line(EventEnvelope(event)), as: UTF8.self)
        daemon.say(line)
        daemon.say(#"{"jsonrpc":"2.0","id":2,"result":{}}"# + "\n" + line + line)
        try client.call(Methods.EventsSubscribe.self, .init())
        daemon.hangUp()
        var seen = 0
        while let next = try client.nextEvent() {
            #expect(next == event)
            seen += 1
        }
        #expect(seen == 3)
    }

    @Test func silentDaemonEndsTheCallAtItsDeadline() {
        let failure = failure { () throws(Failure) in try client.hello() }
        #expect(failure?.kind == .daemonUnreachable)
        #expect(failure?.why == "it does not answer")
    }

    @Test func daemonThatHangsUpIsToldApart() {
        daemon.hangUp()
        #expect(failure { () throws(Failure) in try client.hello() }?.kind == .connectionLost)
    }

    @Test func lineCutOffIsAnError() {
        daemon.say(#"{"jsonrpc":"2.0","id":1,"re"#)
        daemon.hangUp()
        #expect(failure { () throws(Failure) in try client.hello() }?.kind == .daemonUnreachable)
    }

    @Test func rubbishIsAProtocolMismatch() {
        daemon.say("SSH-2.0-OpenSSH_9.2p1\r\n")
        #expect(failure { () throws(Failure) in try client.hello() }?.kind == .protocolMismatch)
    }

    @Test func connectGoesOutInOneWriteAndLeavesTheStreamUnread() throws {
        daemon.sayHello()
        daemon.say(#"{"jsonrpc":"2.0","id":2,"result":{"tunnel":"t1","handoff":false}}"# + "\nSSH-2.0-banner\r\n")
        let stream = try connect(ConnectParameters(target: "i-1", remotePort: 22)).stream
        #expect(stream === daemon.near)
        #expect(readable(stream) == "SSH-2.0-banner\r\n")
        #expect(daemon.heard().split(separator: "\n").count == 2)
    }

    /// The descriptor rides on the result, right behind them.
    @Test func noticesBeforeTheResultAreToldAndUnknownOnesPassedOver() throws {
        let (mine, theirs) = try FileDescriptor.socketPair()
        daemon.sayHello()
        daemon.say(
            #"{"jsonrpc":"2.0","method":"connect.notice","params":{"kind":"login","text":"a","hint":"b"}}"# + "\n")
        daemon.say(#"{"jsonrpc":"2.0","method":"connect.something","params":{"new":1}}"# + "\n")
        daemon.say(#"{"jsonrpc":"2.0","method":"connect.notice","params":{"kind":"zone","text":"c","more":1}}"# + "\n")
        daemon.say(#"{"jsonrpc":"2.0","id":2,"result":{"tunnel":"t1","handoff":true}}"# + "\n", passing: [theirs.raw])
        var told: [ConnectNotice] = []
        let stream = try connect(
            ConnectParameters(target: "i-1", remotePort: 22, handoff: true, notices: true)
        ) { told.append($0) }.stream
        theirs.close()
        #expect(told == [ConnectNotice(.login, "a", hint: "b"), ConnectNotice(.zone, "c")])
        _ = send(mine.raw, "hi", 2, 0)
        #expect(readable(stream) == "hi")
    }

    @Test func handoffReceivesTheDescriptorCloseOnExec() throws {
        let (mine, theirs) = try FileDescriptor.socketPair()
        daemon.sayHello()
        daemon.say(#"{"jsonrpc":"2.0","id":2,"result":{"tunnel":"t1","handoff":true}}"# + "\n", passing: [theirs.raw])
        let stream = try connect(ConnectParameters(target: "i-1", remotePort: 22, handoff: true)).stream
        theirs.close()
        #expect(fcntl(stream.raw, F_GETFD) & FD_CLOEXEC != 0)
        _ = send(mine.raw, "hi", 2, 0)
        #expect(readable(stream) == "hi")
    }

    @Test func handoffWithoutADescriptorIsAnError() {
        daemon.sayHello()
        daemon.say(#"{"jsonrpc":"2.0","id":2,"result":{"tunnel":"t1","handoff":true}}"# + "\n")
        let failure = failure { () throws(Failure) in
            try connect(ConnectParameters(target: "i-1", remotePort: 22, handoff: true))
        }
        #expect(failure?.kind == .protocolMismatch)
    }

    @Test func unexpectedDescriptorsAreClosed() throws {
        let (mine, theirs) = try FileDescriptor.socketPair()
        daemon.sayHello()
        daemon.say(
            #"{"jsonrpc":"2.0","id":2,"result":{"forwards":[]}}"# + "\n", passing: [theirs.raw, theirs.raw])
        theirs.close()
        try client.call(Methods.ForwardList.self, NoParameters())
        daemon.say(#"{"jsonrpc":"2.0","id":3,"result":{"forwards":[]}}"# + "\n")
        try client.call(Methods.ForwardList.self, NoParameters())
        // All copies of the other end are closed: an end of file, not EAGAIN.
        var byte: UInt8 = 0
        #expect(recv(mine.raw, &byte, 1, CInt(MSG_DONTWAIT)) == 0)
    }

    @Test func moreDescriptorsThanOneMessageMayCarryAreAnErrorAndClosed() throws {
        let (mine, theirs) = try FileDescriptor.socketPair()
        daemon.sayHello()
        let first = #"{"jsonrpc":"2.0","id":2,"result":{"tunnel":"t1","#
        daemon.say(first, passing: [CInt](repeating: theirs.raw, count: 8))
        daemon.say(#""handoff":true}}"# + "\n", passing: [CInt](repeating: theirs.raw, count: 8))
        theirs.close()
        let failure = failure { () throws(Failure) in
            try connect(ConnectParameters(target: "i-1", remotePort: 22, handoff: true))
        }
        #expect(failure?.kind == .protocolMismatch)
        var byte: UInt8 = 0
        #expect(recv(mine.raw, &byte, 1, CInt(MSG_DONTWAIT)) == 0)
    }

    @Test func refusedConnectIsThrown() {
        daemon.sayHello()
        daemon.say(
            #"{"jsonrpc":"2.0","id":2,"error":{"code":68,"message":"x","data":{"kind":"no-endpoint","what":"x","why":""}}}"#
                + "\n")
        let failure = failure { () throws(Failure) in
            try connect(ConnectParameters(target: "i-1", remotePort: 22))
        }
        #expect(failure?.kind == .noEndpoint)
    }

    @Test(arguments: [
        (#"{"jsonrpc":"2.0","method":"connect.notice","params":{"kind":"login","text":"a"}}"# + "\n", true),
        (#"{"jsonrpc":"2.0","id":2,"error":{"code":68,"message":"x"}}"# + "\n", true),
        (#"{"jsonrpc":"2.0","id":1,"error":{"code":76,"message":"x"}}"# + "\n", false),
        (#"{"jsonrpc":"2.0","id":2,"result":{"tunnel":"t1","#, true),
        ("SSH-2.0-OpenSSH_9.2p1\r\n", false),
        (#"{"jsonrpc":"2.0","id":2,"result":{"tunnel":""# + String(repeating: "t", count: 20_000) + "\"}}\n", true),
    ])
    func whatASessionCannotReadIsLeftInTheSocket(_ words: String, isGreeted: Bool) throws {
        let session = try ConnectSession(
            connected: daemon.near, path: "/test.sock", client: "test 1", timeout: .milliseconds(50))
        if isGreeted { daemon.sayHello() }
        daemon.say(words)
        #expect(try session.open(ConnectParameters(target: "i-1", remotePort: 22)) == nil)
        #expect(session.awaited == (isGreeted ? .connect : .hello))
        daemon.hangUp()
        #expect(readable(daemon.near) == words)
    }

    @Test func sessionOfADaemonThatHangsUpIsLeftToWhoCanSayWhy() throws {
        daemon.hangUp()
        let failure = failure { () throws(Failure) in
            try connect(ConnectParameters(target: "i-1", remotePort: 22))
        }
        #expect(failure?.kind == .connectionLost)
    }

    @Test func silentDaemonEndsASessionAtItsDeadline() throws {
        let failure = failure { () throws(Failure) in
            try connect(ConnectParameters(target: "i-1", remotePort: 22))
        }
        #expect(failure?.why == "it does not answer")
    }

    @Test func readerThatIsGoneEndsTheWaitForATunnel() throws {
        daemon.sayHello()
        let (mine, theirs) = try FileDescriptor.socketPair()
        theirs.close()
        let failure = failure { () throws(Failure) in
            try connect(ConnectParameters(target: "i-1", remotePort: 22), watching: mine.raw)
        }
        #expect(failure?.kind == .connectionLost)
    }

    @Test func longReplyOverManyReadsIsWhole() throws {
        let names = (0..<4000).map { "forward-\($0)" }
        let line = try ControlWire.line(
            ResultEnvelope(id: .number(2), result: ForwardRemoveResult(removed: names)))
        daemon.sayHello()
        let far = daemon.far
        // More than a socket's buffer may hold: written by a thread of its own.
        let sending = try Joined {
            var sent = 0
            while sent < line.count {
                let count = line.withUnsafeBytes {
                    send(far.raw, $0.baseAddress.map { $0 + sent }, line.count - sent, 0)
                }
                guard count > 0 else { return }
                sent += count
            }
        }
        let result = try client.call(
            Methods.ForwardRemove.self, ForwardRemoveParameters(names: []), timeout: .seconds(10))
        #expect(result.removed == names)
        try sending.wait()
    }
}

@Suite struct ConnectingTests {
    @Test func missingFileSaysHowToStartTheDaemon() {
        do throws(Failure) {
            _ = try ControlClient(path: "/nonexistent/control.sock", client: "test")
            Issue.record("connected")
        } catch {
            #expect(error.kind == .daemonUnreachable)
            #expect(error.sentence == "cannot reach eiced at /nonexistent/control.sock: no such file")
            #expect(error.hint == "systemctl --user start eiced")
            #expect(error.kind.exitCode == 69)
        }
    }

    @Test func staleSocketFileIsToldApart() throws {
        var template = Array("/tmp/eiced-test-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        let path = folder + "/control.sock"
        let raw = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(bound == 0)
        close(raw)
        defer {
            unlink(path)
            rmdir(folder)
        }
        do throws(Failure) {
            _ = try ControlClient(path: path, client: "test")
            Issue.record("connected")
        } catch {
            #expect(error.kind == .daemonUnreachable)
            #expect(error.why == "nobody listens on it")
        }
    }

    @Test func socketOfAnotherUserIsRefused() {
        #expect(ControlSocket.foreign(peer: 1000, own: 1000, path: "/s") == nil)
        let failure = ControlSocket.foreign(peer: 0, own: 1000, path: "/s")
        #expect(failure?.kind == .foreignSocket)
        #expect(failure?.kind.exitCode == 77)
        #expect(failure?.why == "it belongs to uid 0, and you are uid 1000")
    }

    @Test(arguments: [
        (ENOENT, Failure.Kind.daemonUnreachable), (ECONNREFUSED, .daemonUnreachable), (EACCES, .foreignSocket),
        (EPERM, .foreignSocket), (EAGAIN, .daemonUnreachable), (ENOTSOCK, .daemonUnreachable),
    ]) func reasonOfAFailedConnectDecidesTheKind(_ code: CInt, _ kind: Failure.Kind) {
        let failure = ControlSocket.notConnected("/s", SystemError("connect", code: code))
        #expect(failure.kind == kind)
        #expect(failure.what == "cannot reach eiced at /s")
        #expect(failure.hint != nil)
    }
}
