import Glibc
import SocketIO
import TestSupport
import Testing

@testable import Tunnels

/// The door against real clients of two users.
@Suite struct DoorkeeperTests {
    /// A listener with a door: who is let in gets a line, and stays until it goes.
    private final class House {
        let listener: FileDescriptor
        private let keeper = Doorkeeper()
        private var accepting: Listener?
        private(set) var count = Count()

        struct Count: Sendable {
            var accepted = 0
            var served = 0
            var gone = 0
            var refused: [AccessRefusal: Int] = [:]
            var told = 0
            /// All of `Caller` and the verdict, for each connection.
            var costs: [Duration] = []
        }

        init(_ listener: FileDescriptor, on loop: isolated Loop) throws {
            self.listener = listener
            // It keeps itself alive until it is closed.
            keeper.onGone = { [self] in count.gone += 1 }
            keeper.onRefusal = { [self] refused, told in
                count.refused[refused.refusal, default: 0] += 1
                if told != nil { count.told += 1 }
            }
            let admission = Admission(owner: getuid(), rules: AccessRules(), allowsRemoteClients: false)
            let serve = { [self] (connection: FileDescriptor) in
                count.accepted += 1
                let start = ContinuousClock.now
                let caller = Caller(of: connection)
                let isAdmitted = keeper.admit(connection, caller, by: admission)
                count.costs.append(start.duration(to: .now))
                guard isAdmitted else { return }
                count.served += 1
                _ = write(connection.raw, "welcome\n", 8)
                connection.close()
            }
            accepting = try Listener(adopting: listener, on: loop, onTrouble: { _ in }, onAccept: serve)
        }

        func close(on loop: isolated Loop) {
            accepting?.close(on: loop)
            accepting = nil
            keeper.onGone = nil
            keeper.onRefusal = nil
        }
    }

    private func house() async throws -> (LoopBound<House>, UInt16) {
        let loop = try Loop(label: "test")
        let listener = try Listener.bind(to: try #require(SocketAddress(ip: "127.0.0.1", port: 0)))
        let port = try #require(SocketAddress.local(of: listener)?.port)
        let house: LoopBound<House>? = await handedOver { done in
            loop.submit { loop in done((try? House(listener, on: loop)).map { LoopBound($0, on: loop) }) }
        }
        return (try #require(house), port)
    }

    private func count(_ house: LoopBound<House>) async -> House.Count {
        await handedOver { done in house.loop.submit { loop in done(house.get(on: loop).count) } }
    }

    private func close(_ house: LoopBound<House>) async {
        await withCheckedContinuation { continuation in
            house.loop.submit { loop in
                house.get(on: loop).close(on: loop)
                continuation.resume()
            }
        }
    }

    @Test(.enabled(if: Crowd.canBeAnotherUser, "only root can connect as another user"))
    func noneOfTenThousandStrangersIsServedAndNoneOfTheOwnersRefused() async throws {
        let (house, port) = try await house()
        let began = ContinuousClock.now
        // At first alone, so that no connection that was served can be one of the owner's: of a client that closes at once the
        // kernel's entry shows root, and root may be the owner.
        let theirs = try await Crowd.report(of: Crowd.start(10_000, to: port, as: Crowd.stranger))
        try await eventually("all were accepted") { await self.count(house).accepted == 10_000 }
        let alone = await count(house)
        #expect(theirs.connected == 10_000 && theirs.served == 0)
        #expect(alone.served == 0, "a stranger was served")
        #expect((alone.refused[.user(Crowd.stranger)] ?? 0) >= theirs.waited)

        // Then beside the owner's.
        let strangers = try Crowd.start(10_000, to: port, as: Crowd.stranger)
        let ours = try await Crowd.report(of: Crowd.start(10_000, to: port, as: getuid()))
        let beside = try await Crowd.report(of: strangers)
        try await eventually("all were accepted") { await self.count(house).accepted == 30_000 }
        let count = await count(house)
        await close(house)
        #expect(beside.connected == 10_000 && ours.connected == 10_000)
        #expect(beside.served == 0, "a stranger was served")
        #expect(ours.served == ours.waited, "the owner was refused")
        #expect(Set(count.refused.keys) == [.user(Crowd.stranger)])
        let refused = count.refused.values.reduce(0, +)
        #expect(count.served + count.gone + refused == 30_000)
        #expect(refused >= theirs.waited + beside.waited && count.served >= ours.waited)
        let minutes = Int(began.duration(to: .now) / .seconds(60))
        #expect((1...minutes + 1).contains(count.told), "a flood of connections must not be one of lines")

        // A check costs microseconds. Reading a table of all connections, as /proc/net/tcp is, costs milliseconds.
        let cost = count.costs.sorted()[count.costs.count / 2]
        #expect(cost < .microseconds(300) * Patience.factor)
        tell(figure: "owner_check_refused", refused)
        tell(figure: "owner_check_served", count.served)
        tell(figure: "owner_check_gone", count.gone)
        tell(figure: "owner_check_nanoseconds", Int(cost / .nanoseconds(1)))
    }

    @Test func theOwnersOwnAreServedWhoeverThatIs() async throws {
        let (house, port) = try await house()
        for _ in 0..<50 {
            let text = try await onThread {
                let socket = try LoopbackSocket.connect(port: port)
                socket.shutdownWrite()
                return try socket.readText()
            }
            #expect(text == "welcome\n")
        }
        #expect(await count(house).refused.isEmpty)
        await close(house)
    }

    @Test func aUnixSocketTellsItsPeer() throws {
        let (near, far) = try FileDescriptor.socketPair()
        let caller = Caller(of: near)
        #expect(caller.peer == .unix(uid: getuid()))
        #expect(caller.description == "pid \(getpid()), uid \(getuid())")
        #expect(caller.identity.uid == getuid())
        far.close()
    }

    @Test func aConnectionThatIsGoneIsNobodys() async throws {
        let listener = try Listener.bind(to: try #require(SocketAddress(ip: "127.0.0.1", port: 0)))
        let port = try #require(SocketAddress.local(of: listener)?.port)
        for isReset in [false, true] {
            let accepted = try await onThread {
                let client = try LoopbackSocket.connect(port: port)
                if isReset { client.descriptor.closeWithReset() } else { client.close() }
                let accepted = accept(listener.raw, nil, nil)
                guard accepted >= 0 else { throw TestFailure("accept: \(errno)") }
                return FileDescriptor(takingOwnership: accepted)
            }
            let admission = Admission(owner: getuid(), rules: AccessRules(users: [0]), allowsRemoteClients: true)
            // A child of another test has it until it is the program that it is to be.
            try await eventually("it is gone") { admission.verdict(on: Caller(of: accepted).peer) == .gone }
            #expect(Caller(of: accepted).identity.uid == nil)
        }
    }
}
