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
            /// All of `Caller` and the verdict.
            var cost = Duration.zero
        }

        init(_ listener: FileDescriptor, on loop: isolated Loop) throws {
            self.listener = listener
            keeper.onGone = { [unowned self] in count.gone += 1 }
            keeper.onRefusal = { [unowned self] refused, told in
                count.refused[refused.refusal, default: 0] += 1
                if told != nil { count.told += 1 }
            }
            let admission = Admission(owner: getuid(), rules: AccessRules(), allowsRemoteClients: false)
            let serve = { [unowned self] (connection: FileDescriptor) in
                count.accepted += 1
                let start = ContinuousClock.now
                let caller = Caller(of: connection)
                let isAdmitted = keeper.admit(connection, caller, by: admission)
                count.cost += start.duration(to: .now)
                guard isAdmitted else { return }
                count.served += 1
                _ = write(connection.raw, "welcome\n", 8)
                connection.close()
            }
            accepting = try Listener(adopting: listener, on: loop, onTrouble: { _ in }, onAccept: serve)
        }

        func close(on loop: isolated Loop) { accepting?.close(on: loop) }
    }

    private func house() async throws -> (LoopBound<House>, UInt16) {
        let loop = try Loop(label: "test")
        let listener = try Listener.bind(to: try #require(SocketAddress(ip: "127.0.0.1", port: 0)))
        let port = try #require(SocketAddress.local(of: listener)?.port)
        let house: LoopBound<House>? = await withCheckedContinuation { continuation in
            loop.submit { loop in
                continuation.resume(returning: (try? House(listener, on: loop)).map { LoopBound($0, on: loop) })
            }
        }
        return (try #require(house), port)
    }

    private func count(_ house: LoopBound<House>) async -> House.Count {
        await withCheckedContinuation { continuation in
            house.loop.submit { loop in continuation.resume(returning: house.get(on: loop).count) }
        }
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
        let strangers = try Crowd.start(10_000, to: port, as: Crowd.stranger)
        let owners = try Crowd.start(10_000, to: port, as: getuid())
        let theirs = try await Crowd.report(of: strangers)
        let ours = try await Crowd.report(of: owners)
        try await eventually("all were accepted") { await self.count(house).accepted == 20_000 }
        let count = await count(house)
        await close(house)

        #expect(theirs.connected == 10_000 && ours.connected == 10_000)
        #expect(theirs.served == 0, "a stranger was served")
        #expect(ours.served == ours.waited, "the owner was refused")
        #expect(Set(count.refused.keys) == [.user(Crowd.stranger)])
        let refused = count.refused.values.reduce(0, +)
        #expect(count.served + count.gone + refused == 20_000)
        #expect(refused >= theirs.waited && count.served >= ours.waited)
        #expect(count.told == 1, "a flood of connections must not be one of lines")
        print(
            "owner check: \(refused) strangers refused, \(count.served) of the owner's served, \(count.gone) gone, "
                + "\(count.cost / 20_000 / .microseconds(1)) µs each")
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
            let caller = Caller(of: accepted)
            let admission = Admission(owner: getuid(), rules: AccessRules(users: [0]), allowsRemoteClients: true)
            #expect(admission.verdict(on: caller.peer) == .gone)
            #expect(caller.identity.uid == nil)
        }
    }
}
