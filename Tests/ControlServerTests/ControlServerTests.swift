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
        let bench = try await Bench(limits: .init(sessions: 3))
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

    @Test func clientThatDoesNotReadIsNotReadFrom() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        try client.descriptor.setNonBlocking()
        // Small requests with long answers, until the socket takes no more.
        let request = Array(
            RawClient.request(2, "forward.remove", #"{"names":["\#(String(repeating: "x", count: 2000))"]}"#).utf8)
        var written = 0
        try await eventually("the requests are left unread", within: .seconds(20)) {
            while send(client.descriptor.raw, request, request.count, CInt(MSG_NOSIGNAL)) == request.count {
                written += 1
            }
            let handled = bench.handler.state.withLock { $0.requests.count }
            try await letPass(.milliseconds(20))
            return bench.handler.state.withLock { $0.requests.count } == handled && written > handled
        }
        let handled = bench.handler.state.withLock { $0.requests.count }
        #expect(handled < written)
        // Once it reads, all of them are answered.
        try client.descriptor.setNonBlocking(false)
        for _ in 0..<written { #expect(try await client.reply().id == .number(2)) }
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

    @Test func slowSubscriberLearnsThatItMissedSomething() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(RawClient.request(2, "events.subscribe"))
        _ = try await client.reply()
        let total = 20_000
        try await bench.withServer { server, loop in
            for _ in 0..<total { server.publish(ControlEvent(.tunnelOpened, at: .now()), on: loop) }
        }
        var received = 0
        var dropped = 0
        while received + dropped < total {
            let line = try #require(try await client.line())
            let event = try ControlWire.decode(EventEnvelope.self, from: line.utf8).params
            if event.event == .eventsDropped { dropped += event.dropped ?? 0 } else { received += 1 }
        }
        #expect(dropped > 0)
        #expect(received + dropped == total)
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
