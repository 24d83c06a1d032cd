import SocketIO
import Testing

@testable import Tunnels

/// Who may use a forward: every combination that decides, without a socket.
@Suite struct AdmissionTests {
    private func verdict(
        _ peer: Admission.Peer, owner: UInt32 = 1_000, users: Set<UInt32> = [], networks: [String]? = nil,
        remote: Bool = false
    ) -> Admission.Verdict {
        Admission(
            owner: owner,
            rules: AccessRules(users: users, networks: networks.map { $0.compactMap(Network.init(parsing:)) }),
            allowsRemoteClients: remote
        ).verdict(on: peer)
    }

    private func local(_ uid: UInt32, inode: UInt32 = 7, state: UInt8 = 1) -> Admission.Peer {
        .local(PeerOwner.Entry(uid: uid, inode: inode, state: state))
    }

    @Test(arguments: 0...13) func onlyAClientThatIsThereIsServed(state: Int) {
        // ESTABLISHED, FIN_WAIT1, FIN_WAIT2; not SYN_SENT, which is that of another connection from the same port.
        let expected: Admission.Verdict = [1, 4, 5].contains(state) ? .served : .gone
        #expect(verdict(local(1_000, state: UInt8(state))) == expected)
    }

    @Test(arguments: [0, 1_000, 1_001] as [UInt32]) func withoutAnInodeTheUserMeansNothing(uid: UInt32) {
        for owner in [0, 1_000] as [UInt32] {
            #expect(verdict(local(uid, inode: 0), owner: owner, users: [uid]) == .gone)
        }
        #expect(verdict(.local(nil), owner: uid) == .gone)
    }

    @Test func anotherUserIsRefusedUnlessAllowed() {
        #expect(verdict(local(1_001)) == .refused(.user(1_001)))
        #expect(verdict(local(0)) == .refused(.user(0)), "root too: the rule has no exception")
        #expect(verdict(local(1_001), users: [1_001]) == .served)
        #expect(verdict(local(1_002), users: [1_001]) == .refused(.user(1_002)))
        #expect(verdict(.unix(uid: 1_000)) == .served)
        #expect(verdict(.unix(uid: 1_001)) == .refused(.user(1_001)))
        #expect(verdict(.unix(uid: 1_001), users: [1_001]) == .served)
    }

    @Test func otherHostsPassByTheListOfNetworks() throws {
        let peer = Admission.Peer.remote(try #require(SocketAddress(ip: "10.1.2.3", port: 5)))
        #expect(verdict(peer) == .refused(.network("10.1.2.3")), "not where other hosts were never asked for")
        #expect(verdict(peer, remote: true) == .served)
        #expect(verdict(peer, networks: ["10.0.0.0/8"], remote: true) == .served)
        #expect(verdict(peer, networks: ["fd00::/8", "10.2.0.0/16"], remote: true) == .refused(.network("10.1.2.3")))
        #expect(verdict(peer, networks: [], remote: true) == .refused(.network("10.1.2.3")))
        // The list is not a way around the owner check.
        #expect(verdict(local(1_001), networks: ["127.0.0.0/8"], remote: true) == .refused(.user(1_001)))
    }

    @Test func nobodyIsServedUnknown() {
        for remote in [false, true] {
            let verdict = verdict(.unknown("operation not permitted"), remote: remote)
            #expect(verdict == .refused(.unknown("operation not permitted")))
        }
        let failure = AccessRefusal.unknown("operation not permitted").failure(of: "web")
        #expect(
            failure.sentence
                == "a connection to the forward web was refused: the kernel does not tell whose it is (operation not permitted), and nobody is served unknown"
        )
        #expect(failure.hint?.contains("AF_NETLINK") == true)
    }

    @Test func aFloodOfRefusalsIsToldOnceAMinute() {
        var digest = RefusalDigest()
        let start = ContinuousClock.now
        #expect(digest.note(.user(1), at: start) == 1)
        for second in 1..<60 { #expect(digest.note(.user(1), at: start + .seconds(second)) == nil) }
        #expect(digest.note(.user(2), at: start + .seconds(30)) == 1, "another cause has its own minute")
        #expect(digest.note(.user(1), at: start + .seconds(60)) == 60)
        #expect(digest.note(.user(1), at: start + .seconds(61)) == nil)
        // Causes that anybody can make many of are not kept for ever.
        for number in 0..<1_000 { _ = digest.note(.network("\(number)"), at: start + .seconds(61)) }
        #expect(digest.note(.network("new"), at: start + .seconds(62)) == nil)
        #expect(digest.note(.network("new"), at: start + .seconds(180)) == 1)
    }
}
