import Basics
import Glibc
import SocketIO

/// A connection that a forward refused.
public struct RefusedConnection: Sendable {
    public let refusal: AccessRefusal
    public let at: WallTime
}

/// Asks the kernel who is at the other end of a connection: a handful of system calls for a TCP one.
struct Caller {
    let peer: Admission.Peer
    /// For people: "127.0.0.1:50122".
    let description: String
    /// For the audit.
    let identity: ClientIdentity

    init(of connection: FileDescriptor) {
        guard let local = SocketAddress.local(of: connection) else {
            self.init(.local(nil), "-", ClientIdentity())
            return
        }
        if local.family == .unix {
            do throws(SystemError) {
                let credentials = try PeerCredentials(of: connection)
                self.init(
                    .unix(uid: credentials.uid), "pid \(credentials.pid), uid \(credentials.uid)",
                    ClientIdentity(credentials))
            } catch {
                self.init(.unknown(error.reason), "a local socket", ClientIdentity())
            }
            return
        }
        // A connection that was reset has no peer any more.
        guard let remote = SocketAddress.peer(of: connection) else {
            self.init(.local(nil), "-", ClientIdentity())
            return
        }
        guard remote.isLoopback || remote.ipBytes == local.ipBytes || remote.isOfThisHost else {
            self.init(.remote(remote), remote.description, ClientIdentity())
            return
        }
        do throws(SystemError) {
            let entry = try PeerOwner.ofPeer(of: connection)
            // Of a connection that was reset meanwhile the entry may be another one's, which got the same port.
            guard SocketAddress.peer(of: connection) != nil else {
                self.init(.local(nil), remote.description, ClientIdentity())
                return
            }
            // Without an inode the uid means nothing.
            let uid = entry.flatMap { $0.isHeld ? $0.uid : nil }
            self.init(.local(entry), remote.description, ClientIdentity(uid: uid))
        } catch {
            self.init(.unknown(error.reason), remote.description, ClientIdentity())
        }
    }

    private init(_ peer: Admission.Peer, _ description: String, _ identity: ClientIdentity) {
        self.peer = peer
        self.description = description
        self.identity = identity
    }
}

/// A forward's door: who comes in, and what is told of those who do not. Confined to the control loop.
final class Doorkeeper {
    /// Connections refused so far.
    private(set) var refused = 0
    private(set) var lastRefused: RefusedConnection?
    private var digest = RefusalDigest()
    /// Told of each refusal, with the number to tell people if this one is to be told.
    var onRefusal: ((RefusedConnection, _ toTell: Int?) -> Void)?
    var onGone: (() -> Void)?

    /// Whether the caller is served. One who is not is told by a reset: an end of file would look like an answer.
    func admit(_ connection: FileDescriptor, _ caller: Caller, by admission: Admission) -> Bool {
        switch admission.verdict(on: caller.peer) {
        case .served: return true
        case .gone:
            connection.close()
            onGone?()
        case .refused(let refusal):
            connection.closeWithReset()
            note(refusal)
        }
        return false
    }

    /// A tunnel ended. Where its client should not have been served, it counts as refused.
    func tunnelEnded(_ reason: CloseReason) {
        if let client = reason.webClient { note(.webClient(client)) }
    }

    private func note(_ refusal: AccessRefusal) {
        refused += 1
        let record = RefusedConnection(refusal: refusal, at: .now())
        lastRefused = record
        onRefusal?(record, digest.note(refusal, at: .now))
    }
}
