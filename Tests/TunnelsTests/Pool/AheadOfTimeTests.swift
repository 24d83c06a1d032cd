import Failures
import InstanceConnect
import Synchronization
import TestSupport
import Testing
import Transport

@testable import Tunnels

/// What is made before it is needed: spares and warm tunnels.
@Suite struct AheadOfTimeTests {
    @Test func aConnectionUsesTheSpareThatTheOneBeforeItLeft() async throws {
        let (endpoint, bench, port, first) = try await Self.connectionThatLeftASpare()
        let accepted = endpoint.acceptedCount
        let second = try await onThread { try Self.echo(port) }
        // Used up, and replaced by one more connection: the second client opened none of its own.
        try await eventually("the spare is replaced") {
            await bench.spareCount() == 1 && endpoint.acceptedCount == accepted + 1
        }
        first.close()
        second.close()
        _ = try await bench.ends(2)
    }

    @Test func aStaleSpareIsReplacedWithoutAWord() async throws {
        let served = Mutex(0)
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            let request = try connection.request()
            let number = served.withLock { number in
                number += 1
                return number
            }
            // The second request comes over the spare, which ends before a byte of an answer.
            if number == 2 { return }
            try connection.accept(request)
            try connection.echo()
        }
        let bench = try await Bench(endpoint, spares: 1)
        let port = try await bench.forward()
        let first = try await onThread { try Self.echo(port) }
        try await eventually("there is a spare") { await bench.spareCount() == 1 }
        let second = try await onThread { try Self.echo(port) }
        #expect(bench.ends.isEmpty)
        first.close()
        second.close()
        #expect(try await bench.ends(2).allSatisfy { $0 == .localClosed })
    }

    @Test func aWarmTunnelIsThereForTheNextConnection() async throws {
        let endpoint = try Self.greeter()
        let bench = try await Bench(endpoint)
        var specification = try Bench.specification()
        specification.warm = 1
        let address = try #require(try await bench.add(specification).first)
        let first = try await onThread { try Self.greeted(address.port) }
        try await eventually("a tunnel is warm") { await bench.states().contains(.warm) }
        let accepted = endpoint.acceptedCount
        let second = try await onThread { try Self.greeted(address.port) }
        try await eventually("the next one is warm") {
            let states = await bench.states()
            return states.count { $0 == .open } == 2 && states.contains(.warm)
        }
        #expect(endpoint.acceptedCount == accepted + 1)
        first.close()
        second.close()
    }

    @Test func aWarmTunnelGivesItsSlotToWhoeverNeedsIt() async throws {
        let endpoint = try Self.greeter()
        let bench = try await Bench(endpoint, slots: 2)
        var specification = try Bench.specification("warm")
        specification.warm = 1
        let warm = try #require(try await bench.add(specification).first)
        let first = try await onThread { try Self.greeted(warm.port) }
        try await eventually("a tunnel is warm") { await bench.states().contains(.warm) }
        let other = try #require(try await bench.add(try Bench.specification("other")).first)
        let second = try await onThread { try Self.greeted(other.port) }
        #expect(bench.ends.map(\.reason) == [.evicted])
        first.close()
        second.close()
    }

    /// Otherwise the next client of a forward that was given another target would be joined to the old one.
    @Test func aForwardThatChangesLeavesItsWarmTunnelsBehind() async throws {
        let endpoint = try Self.greeter()
        let bench = try await Bench(endpoint)
        var specification = try Bench.specification()
        specification.warm = 1
        let address = try #require(try await bench.add(specification).first)
        let first = try await onThread { try Self.greeted(address.port) }
        try await eventually("a tunnel is warm") { await bench.states().contains(.warm) }
        var other = specification
        other.route.target = try Target(parsing: "10.0.1.6")
        let fresh = other
        await bench.onControl { tables, loop in tables.forwards["web"]?.become(fresh, on: loop) }
        try await eventually("another tunnel is warm in its place") {
            await bench.handles().contains { $0.request.route == fresh.route && $0.snapshot.state == .warm }
        }
        let second = try await onThread { try Self.greeted(address.port) }
        let open = await bench.handles().filter { $0.snapshot.state == .open }
        #expect(open.map(\.request.route) == [specification.route, fresh.route])
        #expect(bench.ends.map(\.reason) == [.unused])

        // And none is made any more where none is wanted.
        var none = fresh
        none.warm = 0
        let last = none
        await bench.onControl { tables, loop in tables.forwards["web"]?.become(last, on: loop) }
        try await eventually("no tunnel is warm") { await bench.states() == [.open, .open] }
        first.close()
        second.close()
    }

    /// Dialed beside the connection it could take the last slot, and the client would wait for two dials.
    @Test func noWarmTunnelIsBegunBeforeTheConnectionIsOpen() async throws {
        let bench = try await Bench(Self.greeter(), router: ScriptedRouter(.init(holdsResolve: true)))
        var specification = try Bench.specification()
        specification.warm = 1
        let address = try #require(try await bench.add(specification).first)
        let client = try await onThread { try LoopbackSocket.connect(port: address.port) }
        try await eventually("the connection was accepted") { await !bench.handles().isEmpty }
        #expect(await bench.handles().map(\.request.isWarm) == [false])
        client.close()
        // Nor after one that came to nothing: it would fail the same way.
        #expect(try await bench.end() == .clientLeft)
        #expect(await bench.states().isEmpty)
    }

    @Test func aWarmTunnelThatFindsNoSlotIsNoFailure() async throws {
        let bench = try await Bench(Self.greeter(), slots: 1)
        var specification = try Bench.specification()
        specification.warm = 1
        let address = try #require(try await bench.add(specification).first)
        let client = try await onThread { try Self.greeted(address.port) }
        #expect(try await bench.ends(1) == [.noRoom])
        let failures = await bench.onControl { tables, _ in
            (tables.tunnels.failures.count, tables.forwards["web"]?.lastFailure == nil)
        }
        #expect(failures == (0, true))
        client.close()
    }

    /// A turn in the queue is for those who need it.
    @Test func aWarmTunnelThatTheEndpointHasNoRoomForDoesNotWait() async throws {
        let opened = Mutex(0)
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            let request = try connection.request()
            let isFirst = opened.withLock { opened in
                opened += 1
                return opened == 1
            }
            guard isFirst else {
                return try connection.sendRaw(Array("HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n".utf8))
            }
            try connection.accept(request)
            try connection.send("SSH-2.0-test\r\n")
            try connection.echo()
        }
        let bench = try await Bench(endpoint)
        let address = try #require(try await bench.add(try Bench.specification()).first)
        let client = try await onThread { try Self.greeted(address.port) }
        await bench.onControl { tables, loop in
            guard let forward = tables.forwards["web"] else { return }
            var specification = forward.specification
            specification.warm = 1
            forward.become(specification, on: loop)
        }
        #expect(try await bench.ends(1) == [.noRoom])
        try await bench.waitForSlots(.init(inUse: 1, queued: 0))
        #expect(await bench.onControl { tables, _ in tables.pools.all.first?.effectiveCap } == 1)
        client.close()
    }

    /// After a sleep or on another network a connection is not to meet what died meanwhile.
    @Test func aDisturbanceReplacesWhatWasMadeAheadOfTime() async throws {
        let endpoint = try Self.greeter()
        let bench = try await Bench(endpoint, spares: 1)
        var specification = try Bench.specification()
        specification.warm = 1
        let address = try #require(try await bench.add(specification).first)
        let client = try await onThread { try Self.greeted(address.port) }
        try await eventually("all is ready") {
            let (states, spares) = (await bench.states(), await bench.spareCount())
            return states == [.open, .warm] && spares == 1
        }
        let (before, accepted) = (await bench.handles().map(\.id), endpoint.acceptedCount)
        await bench.onControl { tables, loop in tables.tunnels.disturbed(on: loop) }
        try await eventually("all is ready again") {
            let (handles, spares) = (await bench.handles(), await bench.spareCount())
            return handles.map(\.snapshot.state) == [.open, .warm] && handles.map(\.id) != before && spares == 1
                && endpoint.acceptedCount >= accepted + 2
        }
        #expect(bench.ends.map(\.reason) == [.unused])
        client.close()
    }

    /// The spare that was there is closed, and another one comes; nobody notices who connects meanwhile.
    @Test func memoryThatIsGivenBackRenewsTheSpares() async throws {
        let (endpoint, bench, port, first) = try await Self.connectionThatLeftASpare()
        let accepted = endpoint.acceptedCount
        let left = await bench.onControl { tables, loop in
            tables.transport.renewReserves(on: loop)
            return tables.pools.all.map { tables.tunnels.reserve(of: $0, on: loop)?.ready ?? 0 }
        }
        #expect(left == [0])
        let second = try await onThread { try Self.echo(port) }
        try await eventually("there is a spare again") {
            await bench.spareCount() == 1 && endpoint.acceptedCount == accepted + 2
        }
        first.close()
        second.close()
        #expect(try await bench.ends(2).allSatisfy { $0 == .localClosed })
    }

    /// As when a router on the way has forgotten the connection: nothing comes back, not even a reset.
    @Test func aSpareWhosePathDiedWithoutAWordIsReplacedToo() async throws {
        let served = Mutex(0)
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            let request = try connection.request()
            let number = served.withLock { number in
                number += 1
                return number
            }
            // The second request comes over the spare, and is never answered.
            if number == 2 {
                while try connection.next() != .end {}
                return
            }
            try connection.accept(request)
            try connection.echo()
        }
        var phases = DialTimeouts.patient
        // Long enough for the other dials on a busy machine.
        phases.upgrade = .seconds(3)
        let bench = try await Bench(endpoint, phases: phases, spares: 1)
        let port = try await bench.forward()
        let first = try await onThread { try Self.echo(port) }
        try await eventually("there is a spare") { await bench.spareCount() == 1 }
        let second = try await onThread { try Self.echo(port) }
        #expect(bench.ends.isEmpty)
        first.close()
        second.close()
        #expect(try await bench.ends(2).allSatisfy { $0 == .localClosed })
    }

    private static func connectionThatLeftASpare() async throws -> (ScriptedEndpoint, Bench, UInt16, LoopbackSocket) {
        let endpoint = try ScriptedEndpoint.echo()
        let bench = try await Bench(endpoint, spares: 1)
        let port = try await bench.forward()
        let client = try await onThread { try echo(port) }
        try await eventually("there is a spare") { await bench.spareCount() == 1 }
        return (endpoint, bench, port, client)
    }

    private static func greeter() throws -> ScriptedEndpoint {
        try ScriptedEndpoint.open { connection in
            try connection.send("SSH-2.0-test\r\n")
            try connection.echo()
        }
    }

    private static func echo(_ port: UInt16) throws -> LoopbackSocket {
        let client = try LoopbackSocket.connect(port: port)
        try client.write([7])
        guard try client.read(exactly: 1) == [7] else { throw TestFailure("another answer") }
        return client
    }

    private static func greeted(_ port: UInt16) throws -> LoopbackSocket {
        let client = try LoopbackSocket.connect(port: port)
        guard try client.read(exactly: 14) == Array("SSH-2.0-test\r\n".utf8) else { throw TestFailure("no greeting") }
        return client
    }
}
