import CLinux
import ControlClient
import ControlCodec
import ControlProtocol
import Failures
import Glibc
import SocketIO
import TestSupport
import Testing

@testable import ControlServer

@Suite struct ControlServerTests {
    @Test func clientAndServerUnderstandEachOther() async throws {
        let bench = try await Bench()
        let path = bench.path
        let (hello, forwards, failure) = try await onThread {
            let client = try ControlClient(path: path, client: "test 1")
            let hello = try client.hello()
            let forwards = try client.call(Methods.ForwardList.self, NoParameters())
            do throws(Failure) {
                try client.call(Methods.ForwardRemove.self, ForwardRemoveParameters(names: ["x"]))
                throw Failure(.internal, "no error came")
            } catch {
                return (hello, forwards, error)
            }
        }
        #expect(hello == HelloResult(pid: Int(getpid())))
        #expect(forwards.forwards == [])
        #expect(failure.kind == .unknownForward)
        let peers = bench.handler.state.withLock { $0.peers }
        #expect(peers.allSatisfy { $0.pid == getpid() && $0.uid == getuid() })
    }

    @Test func oneByteAtATimeIsUnderstood() async throws {
        let bench = try await Bench()
        let client = try bench.client()
        for character in RawClient.hello + RawClient.request(2, "forward.list") { client.say(String(character)) }
        #expect(try await client.reply().id == .number(1))
        #expect(try await client.reply().id == .number(2))
    }

    @Test func everyRequestIsAnswered() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say("rubbish\n")
        client.say("\n")
        client.say("[]\n")
        client.say(RawClient.request(5, "forward.fly"))
        client.say(RawClient.request(6, "connect", #"{"target":7}"#))
        client.say(String(repeating: "x", count: ControlWire.maximumLineLength + 1))
        client.say("\n" + RawClient.request(8, "forward.list"))
        var seen: [String] = []
        for _ in 0..<7 {
            let reply = try await client.reply()
            seen.append("\(reply.id ?? .null) \(reply.error?.code ?? 0) \(reply.error?.data.kind.rawValue ?? "")")
        }
        #expect(
            seen == [
                "null -32700 invalid-request", "null -32700 invalid-request", "null -32600 invalid-request",
                "number(5) -32601 unknown-method", "number(6) -32602 invalid-request", "null -32600 line-too-long",
                "number(8) 0 ",
            ])
    }

    @Test func requestBeforeHelloIsRefusedAndAnotherMajorIsTheEnd() async throws {
        let bench = try await Bench()
        let client = try bench.client()
        client.say(RawClient.request(1, "forward.list"))
        #expect(try await client.reply().error?.code == ErrorObject.invalidRequest)
        client.say(RawClient.request(2, "hello", #"{"protocol":{"major":7,"minor":0}}"#))
        #expect(try await client.reply().error?.data.kind == .protocolMismatch)
        #expect(try await client.line() == nil)
    }

    @Test func repliesComeAsTheyAreReady() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(
            RawClient.request(2, "status") + RawClient.request(3, "reload") + RawClient.request(4, "forward.list"))
        #expect(try await client.reply().id == .number(4))
        let replies = bench.handler.state.withLock { $0.replies }
        try #require(replies.count == 2)
        replies[1].send(.success(.reload(ReloadResult())))
        #expect(try await client.reply().id == .number(3))
        replies[0].send(.success(.status(StatusResult(pid: 1, uptime: 1, socket: "/s"))))
        #expect(try await client.reply().id == .number(2))
    }

    @Test func halfClosedClientStillGetsItsReplies() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(RawClient.request(2, "status"))
        shutdown(client.descriptor.raw, CInt(SHUT_WR))
        try await eventually("the request arrived") { bench.handler.state.withLock { $0.replies.count == 1 } }
        bench.handler.state.withLock { $0.replies }[0].send(.failure(Failure(.internal, "x")))
        #expect(try await client.reply().id == .number(2))
        #expect(try await client.line() == nil)
    }

    @Test func silentClientsAreClosedAndTheOthersAreServed() async throws {
        // Long enough for the one that does say hello, on a busy machine.
        let bench = try await Bench(limits: .init(hello: .milliseconds(700) * Patience.factor))
        let silent = try (0..<100).map { _ in try bench.client() }
        // Half a hello is no hello.
        silent[0].say(String(RawClient.hello.dropLast(9)))
        let client = try await bench.greetedClient()
        client.say(RawClient.request(2, "forward.list"))
        #expect(try await client.reply().id == .number(2))
        for one in silent { #expect(try await one.line() == nil) }
        // One that has said hello may be silent for as long as it likes.
        client.say(RawClient.request(3, "forward.list"))
        #expect(try await client.reply().id == .number(3))
        try await eventually("all are forgotten") {
            try await bench.withServer { server, _ in server.sessionCount } == 1
        }
    }

    @Test func oneSessionTooManyIsToldSo() async throws {
        let bench = try await Bench(limits: .init(sessions: 3, hello: .seconds(10) * Patience.factor))
        let clients = [
            try await bench.greetedClient(), try await bench.greetedClient(), try await bench.greetedClient(),
        ]
        let surplus = try bench.client()
        #expect(try await surplus.reply().error?.data.kind == .tooManySessions)
        #expect(try await surplus.line() == nil)
        clients[0].descriptor.close()
        try await eventually("a place is free") { try await bench.withServer { server, _ in server.sessionCount } == 2 }
        _ = try await bench.greetedClient()
    }

    @Test("a client that does not read is read from only until its answers fill the session's output")
    func clientThatDoesNotReadIsNotReadFrom() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        let text = RawClient.request(2, "forward.remove", #"{"names":["\#(String(repeating: "x", count: 2000))"]}"#)
        client.say(text)
        let replyLength = try #require(try await client.line()).utf8.count + 1
        let request = Array(text.utf8)
        try client.descriptor.setNonBlocking()
        // Far more than the sockets' buffers and the session's output hold.
        let total = 20_000 * request.count
        var (sent, isStuck) = (0, false)
        while !isStuck, sent < total {
            let rest = request[(sent % request.count)...]
            let count = rest.withUnsafeBytes {
                send(client.descriptor.raw, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
                continue
            }
            // After these turns of its loop the session has read all that it is going to read.
            for _ in 0..<3 { try await bench.run { _ in } }
            var room = pollfd(fd: client.descriptor.raw, events: Int16(POLLOUT), revents: 0)
            isStuck = poll(&room, 1, 0) == 0
        }
        try #require(isStuck, "the session read without end")
        var unread: CInt = 0
        try #require(ioctl(client.descriptor.raw, UInt(FIONREAD), &unread) == 0)
        let answered = bench.handler.state.withLock { $0.requests.count } - 1
        let pending = answered * replyLength - Int(unread)
        #expect(pending >= ControlSession.outputLimit)
        #expect(pending < ControlSession.outputLimit + replyLength)
        // Once it reads, all of them are answered.
        try client.descriptor.setNonBlocking(false)
        for _ in 0..<sent / request.count { #expect(try await client.reply().id == .number(2)) }
        client.say(String(decoding: request[(sent % request.count)...], as: UTF8.self))
        #expect(try await client.reply().id == .number(2))
    }

    @Test func foreignUserIsNotAdmitted() {
        #expect(ControlServer.admits(peer: 1000, own: 1000))
        #expect(!ControlServer.admits(peer: 0, own: 1000))
        #expect(!ControlServer.admits(peer: 1001, own: 1000))
        #expect(!ControlServer.admits(peer: 65534, own: 0))
        #expect(!ControlServer.admits(peer: .max, own: 0))
    }

    @Test func subscribersGetTheKindsTheyAskedFor() async throws {
        let bench = try await Bench()
        let all = try await bench.greetedClient()
        let some = try await bench.greetedClient()
        #expect(try await bench.withServer { server, _ in server.hasSubscribers } == false)
        all.say(RawClient.request(2, "events.subscribe"))
        some.say(RawClient.request(2, "events.subscribe", #"{"events":["tunnel.closed"]}"#))
        _ = try await all.reply()
        _ = try await some.reply()
        try await bench.withServer { server, loop in
            server.publish(ControlEvent(.tunnelOpened, at: .now()), on: loop)
            server.publish(ControlEvent(.tunnelClosed, at: .now()), on: loop)
        }
        func kind(_ client: RawClient) async throws -> ControlEvent.Kind {
            let line = try #require(try await client.line())
            return try ControlWire.decode(EventEnvelope.self, from: line.utf8).params.event
        }
        #expect(try await kind(all) == .tunnelOpened)
        #expect(try await kind(all) == .tunnelClosed)
        #expect(try await kind(some) == .tunnelClosed)
    }

    @Test("a slow subscriber learns how many events it missed, and no event overtakes that report")
    func slowSubscriberLearnsThatItMissedSomething() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(RawClient.request(2, "events.subscribe"))
        _ = try await client.reply()
        var published = 0
        func publish(_ count: Int) async throws {
            let numbers = published..<published + count
            published += count
            try await bench.withServer { server, loop in
                for number in numbers {
                    var event = ControlEvent(.tunnelOpened, at: .now())
                    event.refused = number
                    server.publish(event, on: loop)
                }
            }
        }
        var (next, reports) = (0, [Int]())
        func take(_ count: Int) async throws {
            for line in try await client.lines(count) {
                let event = try ControlWire.decode(EventEnvelope.self, from: line.utf8).params
                if event.event == .eventsDropped {
                    let missed = try #require(event.dropped)
                    reports.append(missed)
                    next += missed
                } else {
                    try #require(event.refused == next)
                    next += 1
                }
            }
        }
        try await publish(20_000)
        // The session has room again while it still owes the report: events that come now belong to the missed ones.
        for _ in 0..<40 {
            try await take(100)
            try await publish(50)
        }
        while next < published { try await take(1) }
        #expect(next == published)
        #expect(reports.count == 1 && reports.allSatisfy { $0 > 2_000 })
        try await publish(1)
        try await take(1)
        #expect(reports.count == 1 && next == published)
    }

    @Test("a subscriber that leaves is forgotten")
    func subscriberThatLeaves() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(RawClient.request(2, "events.subscribe"))
        _ = try await client.reply()
        #expect(try await bench.withServer { server, _ in server.hasSubscribers })
        client.descriptor.close()
        try await eventually("the session is over") {
            try await bench.withServer { server, _ in server.sessionCount } == 0
        }
    }

    @Test("a subscriber that only half-closes still gets its events")
    func halfClosedSubscriber() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(RawClient.request(2, "events.subscribe"))
        _ = try await client.reply()
        shutdown(client.descriptor.raw, CInt(SHUT_WR))
        // After these turns of its loop the session knows.
        for _ in 0..<3 { try await bench.run { _ in } }
        try await bench.withServer { server, loop in
            server.publish(ControlEvent(.tunnelClosed, at: .now()), on: loop)
        }
        #expect(try await client.line() != nil)
    }

    @Test("a server that hands over closes the sessions of subscribers, keeps the others, and leaves the socket's file")
    func handingOver() async throws {
        let bench = try await Bench()
        let (subscriber, other) = (try await bench.greetedClient(), try await bench.greetedClient())
        subscriber.say(RawClient.request(2, "events.subscribe"))
        _ = try await subscriber.reply()
        try await bench.withServer { server, loop in server.letGo(on: loop) }
        #expect(try await subscriber.line() == nil)
        other.say(RawClient.request(2, "forward.list"))
        #expect(try await other.reply().id == .number(2))
        #expect(access(bench.path, F_OK) == 0)
    }

    @Test("a session takes sixteen requests that are not answered yet, and the next ones after their answers")
    func unansweredRequests() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        for number in 1...20 { client.say(RawClient.request(number, "status")) }
        func arrived() -> Int { bench.handler.state.withLock { $0.replies.count } }
        try await eventually("sixteen requests arrived") { arrived() >= 16 }
        for _ in 0..<3 { try await bench.run { _ in } }
        #expect(arrived() == 16)
        bench.handler.state.withLock { $0.replies }[0].send(.failure(Failure(.internal, "x")))
        #expect(try await client.reply().id == .number(1))
        try await eventually("one more arrived") { arrived() == 17 }
    }

    @Test func stoppedServerRemovesItsFileAndOpenSessionsGoOn() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        try await bench.withServer { server, loop in server.stopAccepting(on: loop) }
        #expect(throws: SystemError.self) { try bench.client() }
        client.say(RawClient.request(2, "forward.list"))
        #expect(try await client.reply().id == .number(2))
        try await bench.withServer { server, loop in server.close(on: loop) }
        #expect(try await client.line() == nil)
        let again = try ControlListener.binding(bench.path)
        again.removeFile()
    }
}
