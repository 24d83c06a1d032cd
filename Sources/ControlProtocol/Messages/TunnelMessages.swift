/// `tunnel.list`.
public struct TunnelListParameters: Codable, Hashable, Sendable {
    /// Only the tunnels of this forward.
    public var forward: String?

    public init(forward: String? = nil) { self.forward = forward }
}

public struct TunnelListResult: Codable, Hashable, Sendable {
    public var tunnels: [TunnelInfo]

    public init(tunnels: [TunnelInfo]) { self.tunnels = tunnels }
}

/// `tunnel.close`: all of them or, if one is unknown, none.
public struct TunnelCloseParameters: Codable, Hashable, Sendable {
    public var ids: [String]

    public init(ids: [String]) { self.ids = ids }
}

public struct TunnelCloseResult: Codable, Hashable, Sendable {
    public var closed: [String]

    public init(closed: [String]) { self.closed = closed }
}

/// A tunnel, as the daemon shows it.
public struct TunnelInfo: Codable, Hashable, Sendable {
    public var id: String
    /// The forward whose listener took the connection; nil for `connect`.
    public var forward: String?
    public var target: String
    public var remotePort: UInt16
    /// The target's private address; nil until it is resolved.
    public var address: String?
    /// The endpoint's id; nil until it is resolved.
    public var endpoint: String?
    public var state: State
    public var since: Timestamp
    public var bytesLocalToRemote: UInt64
    public var bytesRemoteToLocal: UInt64
    /// AWS's request id of the upgrade, which CloudTrail shows too.
    public var requestID: String?
    /// Who is at the local side: `127.0.0.1:50122`, or `uid 1000 pid 4242` on a Unix socket.
    public var peer: String
    public var expiresAt: Timestamp?
    public var liveness: Liveness
    /// To the endpoint, as the kernel measures it; nil before the connection.
    public var roundTripMilliseconds: Double?
    /// What a queued tunnel waits for. Nil from a daemon that does not tell.
    public var waitsFor: Wait?

    public enum Wait: String, Codable, Hashable, Sendable {
        /// To learn where the target is.
        case lookup
        /// For a person to log in.
        case login
        /// For a slot of the endpoint.
        case slot
    }

    public enum State: String, Codable, Hashable, Sendable {
        case queued, dialing
        /// Open ahead of time, for a connection that is not there yet.
        case warm
        case open, draining
    }

    /// What is known of the endpoint at the other end of the WebSocket.
    public enum Liveness: String, Codable, Hashable, Sendable {
        /// It answers pings.
        case alive
        /// It has never answered a ping, so that silence says nothing.
        case unknown
    }

    public init(
        id: String, forward: String? = nil, target: String, remotePort: UInt16, address: String? = nil,
        endpoint: String? = nil, state: State, since: Timestamp, bytesLocalToRemote: UInt64 = 0,
        bytesRemoteToLocal: UInt64 = 0, requestID: String? = nil, peer: String, expiresAt: Timestamp? = nil,
        liveness: Liveness = .unknown, roundTripMilliseconds: Double? = nil, waitsFor: Wait? = nil
    ) {
        self.id = id
        self.forward = forward
        self.target = target
        self.remotePort = remotePort
        self.address = address
        self.endpoint = endpoint
        self.state = state
        self.since = since
        self.bytesLocalToRemote = bytesLocalToRemote
        self.bytesRemoteToLocal = bytesRemoteToLocal
        self.requestID = requestID
        self.peer = peer
        self.expiresAt = expiresAt
        self.liveness = liveness
        self.roundTripMilliseconds = roundTripMilliseconds
        self.waitsFor = waitsFor
    }
}
