import CLinux
import ControlClient
import ControlCodec
import ControlProtocol
import Failures
import Glibc
import SocketIO
import Synchronization
import TestSupport
import Testing

@testable import ControlServer

@Suite struct ConnectTests {
    let connect = RawClient.request(2, "connect", #"{"target":"i-1","remotePort":22}"#)
    let handoff = RawClient.request(2, "connect", #"{"target":"i-1","remotePort":22,"handoff":true}"#)

    func waiting(_ bench: Bench) async throws -> ConnectClient {
        try await eventually("connect arrived") { bench.handler.state.withLock { $0.clients.popLast() } }
    }

    /// What was given away, for use outside the loop.
    struct Given: Sendable {
        let descriptor: FileDescriptor
        let first: String
        let received: String
    }

    func take(_ bench: Bench, _ client: ConnectClient) async throws -> Given? {
        try await bench.run { loop in
            client.takeStream(ConnectResult(tunnel: "t1", handoff: false), on: loop).map { stream in
                Given(
                    descriptor: stream.descriptor, first: String(decoding: stream.first, as: UTF8.self),
                    received: String(decoding: stream.received, as: UTF8.self))
            }
        }
    }

    @Test func sessionBecomesTheStreamAndNoByteIsLost() async throws {
        let bench = try await Bench()
        let client = try bench.client()
        client.say(RawClient.hello + connect + "SSH-2.0-client\r\n")
        #expect(try await client.reply().id == .number(1))
        let given = try #require(try await take(bench, waiting(bench)))
        #expect(given.received == "SSH-2.0-client\r\n")
        #expect(given.first.hasSuffix("\n"))
        #expect(
            try ControlWire.decode(ResultEnvelope<ConnectResult>.self, from: given.first.utf8).result.tunnel == "t1")
        client.say("more")
        let server = try RawClient(adopting: given.descriptor)
        #expect(try await server.bytes() == "more")
        server.say(given.first + "SSH-2.0-server\r\n")
        _ = try await client.reply()
        #expect(try await client.bytes() == "SSH-2.0-server\r\n")
        #expect(try await bench.withServer { server, _ in server.sessionCount } == 0)
        // The session is over, and no cancellation comes when the client leaves.
        client.descriptor.close()
        #expect(try await server.bytes() == nil)
        #expect(bench.handler.state.withLock { $0.cancelled } == 0)
    }

    @Test func halfCloseBeforeTheTunnelIsOpenIsKept() async throws {
        let bench = try await Bench()
        let client = try bench.client()
        client.say(RawClient.hello + connect + "last words")
        shutdown(client.descriptor.raw, CInt(SHUT_WR))
        _ = try await client.reply()
        let given = try #require(try await take(bench, waiting(bench)))
        #expect(given.received == "last words")
        let server = try RawClient(adopting: given.descriptor)
        #expect(try await server.bytes() == nil)
        server.say("answer")
        #expect(try await client.bytes() == "answer")
    }

    @Test func bytesBehindConnectStayBounded() async throws {
        let bench = try await Bench()
        let client = try bench.client()
        client.say(RawClient.hello + connect)
        _ = try await client.reply()
        let waiting = try await waiting(bench)
        try client.descriptor.setNonBlocking()
        let bulk = [UInt8](repeating: 7, count: 1 << 16)
        var sent = 0
        while true {
            let count = send(client.descriptor.raw, bulk, bulk.count, CInt(MSG_NOSIGNAL))
            guard count > 0 else { break }
            sent += count
        }
        let given = try #require(try await take(bench, waiting))
        #expect(given.received.utf8.count <= ControlSession.readSize)
        client.descriptor.close()
        let server = try RawClient(adopting: given.descriptor)
        var received = given.received.utf8.count
        while let bytes = try await server.bytes() { received += bytes.utf8.count }
        #expect(received == sent)
    }

    @Test func clientThatLeavesCancelsTheAttempt() async throws {
        let bench = try await Bench()
        let client = try bench.client()
        client.say(RawClient.hello + connect)
        _ = try await client.reply()
        let waiting = try await waiting(bench)
        client.descriptor.close()
        try await eventually("cancelled") { bench.handler.state.withLock { $0.cancelled == 1 } }
        #expect(try await take(bench, waiting) == nil)
        #expect(bench.handler.state.withLock { $0.cancelled } == 1)
    }

    @Test func failureGoesBackToRequestsIfNothingFollowed() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(connect)
        let waiting = try await waiting(bench)
        try await bench.run { waiting.fail(Failure(.targetUnreachable, "no way"), on: $0) }
        #expect(try await client.reply().error?.data.kind == .targetUnreachable)
        client.say(RawClient.request(3, "forward.list"))
        #expect(try await client.reply().id == .number(3))
    }

    @Test func failureAtOnceIsAnsweredToo() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(RawClient.request(2, "connect", #"{"target":"refused","remotePort":22}"#))
        #expect(try await client.reply().error?.data.kind == .noEndpoint)
        client.say(RawClient.request(3, "forward.list"))
        #expect(try await client.reply().id == .number(3))
        client.descriptor.close()
        try await eventually("the session is gone") {
            try await bench.withServer { server, _ in server.sessionCount } == 0
        }
        #expect(bench.handler.state.withLock { $0.cancelled } == 0)
    }

    @Test func failureAfterStreamBytesEndsTheSession() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(connect)
        let waiting = try await waiting(bench)
        client.say(#"{"not":"a request"}"# + "\n")
        try await bench.run { waiting.fail(Failure(.targetUnreachable, "no way"), on: $0) }
        #expect(try await client.reply().error?.data.kind == .targetUnreachable)
        #expect(try await client.line() == nil)
    }

    @Test func handoffPassesTheDescriptorWithTheResult() async throws {
        let bench = try await Bench()
        let path = bench.path
        let dial = Task {
            try await onThread {
                try openTunnel(ConnectParameters(target: "i-1", remotePort: 22, handoff: true), at: path).stream
            }
        }
        let waiting = try await waiting(bench)
        #expect(waiting.wantsDescriptor)
        let (near, far) = try FileDescriptor.socketPair()
        let passed = try await bench.run { loop in
            waiting.pass(far, ConnectResult(tunnel: "t1", handoff: true), on: loop)
        }
        #expect(passed)
        let stream = try RawClient(adopting: try await dial.value)
        #expect(!far.isOpen)
        stream.say("through")
        #expect(try await RawClient(adopting: near).bytes() == "through")
        try await eventually("the session is over") {
            try await bench.withServer { server, _ in server.sessionCount } == 0
        }
    }

    @Test func noticesReachAClientThatWantsThemAndNoOther() async throws {
        let bench = try await Bench()
        let path = bench.path
        for wants in [true, false] {
            let dial = Task {
                try await onThread {
                    var told: [ConnectNotice] = []
                    let tunnel = try openTunnel(
                        ConnectParameters(target: "i-1", remotePort: 22, notices: wants), at: path
                    ) { told.append($0) }
                    return (tunnel.stream, told)
                }
            }
            let notice = ConnectNotice(.slot, "all slots are taken")
            let waiting = try await waiting(bench)
            try await bench.run { loop in
                waiting.tell(notice, on: loop)
                waiting.tell(notice, on: loop)
            }
            let given = try #require(try await take(bench, waiting))
            let server = try RawClient(adopting: given.descriptor)
            server.say(given.first + "banner")
            let (stream, told) = try await dial.value
            #expect(told == (wants ? [notice, notice] : []))
            #expect(try await RawClient(adopting: stream).bytes() == "banner")
        }
    }

    @Test func rawConnectWorksWithTheClient() async throws {
        let bench = try await Bench()
        let path = bench.path
        let dial = Task {
            try await onThread {
                try openTunnel(ConnectParameters(target: "i-1", remotePort: 22), at: path).stream
            }
        }
        let given = try #require(try await take(bench, waiting(bench)))
        let server = try RawClient(adopting: given.descriptor)
        server.say(given.first + "banner")
        let stream = try RawClient(adopting: try await dial.value)
        #expect(try await stream.bytes() == "banner")
    }

    @Test func descriptorForAClientThatLeftIsClosed() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(handoff)
        let waiting = try await waiting(bench)
        client.descriptor.close()
        try await eventually("cancelled") { bench.handler.state.withLock { $0.cancelled == 1 } }
        let (near, far) = try FileDescriptor.socketPair()
        let passed = try await bench.run { loop in
            waiting.pass(far, ConnectResult(tunnel: "t1", handoff: true), on: loop)
        }
        #expect(!passed)
        #expect(try await RawClient(adopting: near).bytes() == nil)
    }

    @Test func closingTheServerCancelsAttempts() async throws {
        let bench = try await Bench()
        let client = try await bench.greetedClient()
        client.say(connect)
        _ = try await waiting(bench)
        try await bench.withServer { server, loop in server.close(on: loop) }
        #expect(bench.handler.state.withLock { $0.cancelled } == 1)
        #expect(try await client.line() == nil)
    }
}
