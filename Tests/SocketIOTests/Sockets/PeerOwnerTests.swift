import CLinux
import Glibc
import TestSupport
import Testing

@testable import SocketIO

@Suite struct PeerOwnerTests {
    private struct Connection {
        let client: FileDescriptor
        let accepted: FileDescriptor
    }

    private func connection(over ip: String) throws -> Connection {
        let listener = try Listener.bind(to: #require(SocketAddress(ip: ip, port: 0)))
        let address = try #require(SocketAddress.local(of: listener))
        // Not for the children of other tests, which would hold it, too.
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let client = FileDescriptor(takingOwnership: Glibc.socket(address.domain, kind, 0))
        #expect(address.withSockaddr { connect(client.raw, $0, $1) } == 0)
        let accepted = clinux_accept(listener.raw)
        try #require(accepted >= 0)
        return Connection(client: client, accepted: FileDescriptor(takingOwnership: accepted))
    }

    @Test(arguments: ["127.0.0.1", "::1"])
    func aConnectedPeerIsOurs(ip: String) throws {
        let connection = try connection(over: ip)
        let entry = try #require(try PeerOwner.ofPeer(of: connection.accepted))
        #expect(entry.uid == getuid())
        #expect(entry.isHeld)
        #expect(entry.state == 1)
    }

    @Test func aKernelThatKnowsNoSocketAtAllDoesNotTell() throws {
        let connection = try connection(over: "127.0.0.1")
        #expect(throws: SystemError.self) {
            _ = try PeerOwner.ofPeer(of: connection.accepted) { (_, _) throws(SystemError) in nil }
        }
        // Of one that was reset it may be right.
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection.client.raw, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        connection.client.close()
        #expect(try PeerOwner.ofPeer(of: connection.accepted) { (_, _) throws(SystemError) in nil } == nil)
    }

    @Test("a peer that resets between the two look-ups is gone, and the kernel has told")
    func resetBetweenTheLookUps() throws {
        let connection = try connection(over: "127.0.0.1")
        var lookUps = 0
        let entry = try PeerOwner.ofPeer(of: connection.accepted) { (_, _) throws(SystemError) in
            lookUps += 1
            guard lookUps == 2 else { return nil }
            var now = linger(l_onoff: 1, l_linger: 0)
            setsockopt(connection.client.raw, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
            connection.client.close()
            // Until the reset is here.
            var hangUp = pollfd(fd: connection.accepted.raw, events: 0, revents: 0)
            poll(&hangUp, 1, 30_000)
            return nil
        }
        #expect(entry == nil && lookUps == 2)
    }

    @Test("the kernel is asked for the peer's socket first, then for ours")
    func lookUps() throws {
        let connection = try connection(over: "127.0.0.1")
        let (local, peer) = (
            try #require(SocketAddress.local(of: connection.accepted)),
            try #require(SocketAddress.peer(of: connection.accepted))
        )
        var asked: [[SocketAddress]] = []
        let entry = PeerOwner.Entry(uid: 7, inode: 8, state: 1)
        let found = try PeerOwner.ofPeer(of: connection.accepted) { (from, to) throws(SystemError) in
            asked.append([from, to])
            return entry
        }
        #expect(found == entry && asked == [[peer, local]])
        asked = []
        let missing = try PeerOwner.ofPeer(of: connection.accepted) { (from, to) throws(SystemError) in
            asked.append([from, to])
            return asked.count == 2 ? entry : nil
        }
        #expect(missing == nil && asked == [[peer, local], [local, peer]])
    }

    @Test func aHalfClosedPeerIsStillHeld() throws {
        let connection = try connection(over: "127.0.0.1")
        shutdown(connection.client.raw, CInt(SHUT_WR))
        let entry = try #require(try PeerOwner.ofPeer(of: connection.accepted))
        #expect(entry.isHeld)
        #expect([4, 5].contains(entry.state))
    }

    @Test func aClosedPeerIsHeldByNobody() async throws {
        let connection = try connection(over: "127.0.0.1")
        connection.client.close()
        // A child of another test has it until it is the program that it is to be.
        try await eventually("nobody holds it") { try PeerOwner.ofPeer(of: connection.accepted)?.isHeld != true }
    }

    @Test func anUnconnectedAddressHasNoEntry() throws {
        let one = try #require(SocketAddress(ip: "127.0.0.1", port: 1))
        let two = try #require(SocketAddress(ip: "127.0.0.1", port: 2))
        #expect(try PeerOwner.entry(from: one, to: two) == nil)
    }
}
