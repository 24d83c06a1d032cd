import ControlProtocol
import Tunnels

/// One tunnel's line in the audit. Fields are only ever added; none of them is secret.
struct AuditRecord: Codable, Hashable, Sendable {
    /// Who was at the local side.
    struct Client: Codable, Hashable, Sendable {
        /// `127.0.0.1:50122`, or what is known of a Unix socket's peer.
        var peer: String
        var uid: UInt32?
        var pid: Int32?
        var command: String?
        var executable: String?
    }

    /// When the connection came, and when it was over.
    var start: Timestamp
    var end: Timestamp
    /// Between the two, by a clock that nobody sets.
    var seconds: Double
    /// Ids count from 1 in each daemon: with its pid they tell two tunnels apart.
    var daemon: Int
    var tunnel: String
    var client: Client
    var forward: String?
    var target: String
    var remotePort: UInt16
    var instance: String?
    var address: String?
    var endpoint: String?
    var region: String?
    var profile: String?
    /// What CloudTrail's OpenTunnel event carries.
    var requestID: String?
    var bytesLocalToRemote: UInt64
    var bytesRemoteToLocal: UInt64
    var reason: String
    var sentence: String
    /// The kind of the failure, where the reason is one.
    var failure: String?

    init(_ end: EndedTunnel, at time: Timestamp, now: ContinuousClock.Instant, daemon: Int) {
        let handle = end.handle
        let snapshot = handle.snapshot
        let identity = handle.identity
        let milliseconds = handle.began.duration(to: now) / .milliseconds(1)
        start = Timestamp(milliseconds: time.milliseconds - Int64(milliseconds))
        self.end = time
        seconds = milliseconds.rounded() / 1_000
        self.daemon = daemon
        tunnel = handle.name
        client = Client(
            peer: handle.peer, uid: identity.uid, pid: identity.pid, command: identity.command,
            executable: identity.executable)
        forward = handle.request.forward
        target = handle.request.route.target.description
        remotePort = handle.request.route.remotePort
        instance = snapshot.route?.instanceID
        address = snapshot.route?.address
        endpoint = snapshot.route?.path.gateway.id
        region = snapshot.route?.region ?? handle.request.route.region
        profile = handle.request.route.profile
        requestID = snapshot.requestID
        bytesLocalToRemote = handle.statistics.localToRemote
        bytesRemoteToLocal = handle.statistics.remoteToLocal
        reason = end.reason.code.rawValue
        sentence = end.reason.sentence
        failure = end.reason.failure?.kind.rawValue
    }
}
