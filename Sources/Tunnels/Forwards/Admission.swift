import Failures
import SocketIO

/// Whom forwards serve beside the daemon's own user.
public struct AccessRules: Hashable, Sendable {
    /// Further users of this host (`allow_users`).
    public var users: Set<UInt32>
    /// The networks whose hosts may use a forward that other hosts can reach; nil: any (`allow_networks`).
    public var networks: [Network]?

    public init(users: Set<UInt32> = [], networks: [Network]? = nil) {
        self.users = users
        self.networks = networks
    }
}

/// Decides who may use a forward, before anything is dialed. Pure.
///
/// Any user of a machine can connect to its loopback ports, so that a tunnel to production would be everybody's. The rule
/// for peers on this host: the kernel's entry of the peer's socket has an inode and the right user, in a state that a
/// connection has whose client is there. Without an inode the entry's user means nothing (it may show root, or whoever had
/// the port before), so nobody is served.
struct Admission {
    /// What the kernel told of the other end.
    enum Peer: Hashable {
        /// Of a Unix socket (SO_PEERCRED).
        case unix(uid: UInt32)
        /// At an address of this host; nil: it has no such socket any more.
        case local(PeerOwner.Entry?)
        /// At an address that is not this host's.
        case remote(SocketAddress)
        /// The kernel could not be asked.
        case unknown(String)
    }

    enum Verdict: Hashable {
        case served
        /// It went before it could be looked up. Nobody knows whose it was: dropped, and counted as neither.
        case gone
        case refused(AccessRefusal)
    }

    /// The daemon's own user.
    let owner: UInt32
    let rules: AccessRules
    /// Whether other hosts may use the forward at all.
    let allowsRemoteClients: Bool

    /// tcp_states.h: ESTABLISHED, FIN_WAIT1, FIN_WAIT2. A client that only connects yet (SYN_SENT) is another connection's.
    private static let states: Set<UInt8> = [1, 4, 5]

    func verdict(on peer: Peer) -> Verdict {
        switch peer {
        case .unix(let uid): return verdict(onUser: uid)
        case .local(let entry):
            guard let entry, entry.isHeld, Self.states.contains(entry.state) else { return .gone }
            return verdict(onUser: entry.uid)
        case .remote(let address):
            guard allowsRemoteClients, rules.networks?.contains(where: { $0.contains(address) }) ?? true else {
                return .refused(.network(address.host))
            }
            return .served
        case .unknown(let why): return .refused(.unknown(why))
        }
    }

    private func verdict(onUser uid: UInt32) -> Verdict {
        uid == owner || rules.users.contains(uid) ? .served : .refused(.user(uid))
    }
}

/// Why a connection to a forward was not served.
public enum AccessRefusal: Hashable, Sendable {
    /// Another user of this host.
    case user(UInt32)
    /// A host outside of the networks that are allowed.
    case network(String)
    /// Whose connection it is could not be found out.
    case unknown(String)
    /// It was served, and then spoke what a browser speaks and no SSH client.
    case webClient(WebClient)

    /// A stable word for counters.
    public var code: String {
        switch self {
        case .user: "other-user"
        case .network: "network"
        case .unknown: "unknown-user"
        case .webClient: "web-client"
        }
    }

    /// The same for a person.
    ///
    /// - Parameter forward: the forward's name.
    public func failure(of forward: String) -> Failure {
        let what = "a connection to the forward \(forward) was refused"
        switch self {
        case .user(let uid):
            return Failure(
                .accessDenied, what, why: "it is of the user with uid \(uid)",
                hint: "if that one may use your tunnels: allow_users in eiced's configuration")
        case .network(let host):
            return Failure(
                .accessDenied, what, why: "\(host) is in none of the networks that are allowed",
                hint: "allow_networks in eiced's configuration names them")
        case .unknown(let why):
            return Failure(
                .accessDenied, what, why: "the kernel does not tell whose it is (\(why)), and nobody is served unknown",
                hint: "let eiced open netlink sockets (RestrictAddressFamilies=AF_NETLINK in its unit), "
                    + "or use a Unix socket or eicectl proxy")
        case .webClient(let client):
            return Failure(
                .accessDenied, what, why: "it speaks \(client.rawValue), not SSH: has a web page opened it?",
                hint: "no web page reaches a Unix socket: eicectl add TARGET 22:$XDG_RUNTIME_DIR/eiced/NAME.sock")
        }
    }
}

/// When refusals are told of: the first at once, then at most one a minute and cause, so that nobody can fill a log by connecting.
/// Pure.
struct RefusalDigest {
    static let interval = Duration.seconds(60)
    /// Causes that are remembered; further ones are counted alone.
    static let capacity = 64

    private var causes: [AccessRefusal: (told: ContinuousClock.Instant, since: Int)] = [:]

    /// Notes a refusal.
    ///
    /// - Returns: how many there were since the last time one was told, if this is to be told.
    mutating func note(_ refusal: AccessRefusal, at now: ContinuousClock.Instant) -> Int? {
        if causes.count >= Self.capacity, causes[refusal] == nil {
            causes = causes.filter { $0.value.told.duration(to: now) < Self.interval }
            guard causes.count < Self.capacity else { return nil }
        }
        let entry = causes[refusal]
        let count = (entry?.since ?? 0) + 1
        if let entry, entry.told.duration(to: now) < Self.interval {
            causes[refusal] = (entry.told, count)
            return nil
        }
        causes[refusal] = (now, 0)
        return count
    }
}
