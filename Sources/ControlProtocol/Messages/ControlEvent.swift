import Failures

/// `events.subscribe`.
public struct EventsSubscribeParameters: Codable, Hashable, Sendable {
    /// The kinds of interest; nil: all.
    public var events: [ControlEvent.Kind]?

    public init(events: [ControlEvent.Kind]? = nil) { self.events = events }
}

public struct EventsSubscribeResult: Codable, Hashable, Sendable {
    public init() {}
}

/// `events.recent`: what happened last, for who was not there.
public struct EventsRecentParameters: Codable, Hashable, Sendable {
    /// The kinds of interest; nil: all.
    public var events: [ControlEvent.Kind]?

    public init(events: [ControlEvent.Kind]? = nil) { self.events = events }
}

public struct EventsRecentResult: Codable, Hashable, Sendable {
    /// Oldest first. The daemon keeps about a hundred.
    public var events: [ControlEvent]

    public init(events: [ControlEvent]) { self.events = events }
}

/// Something that happened, told to who subscribed. Which fields are there follows from `event`.
public struct ControlEvent: Codable, Hashable, Sendable {
    public var event: Kind
    public var time: Timestamp
    public var forward: ForwardInfo?
    /// The name that a changed forward had before.
    public var was: String?
    public var tunnel: TunnelInfo?
    public var endpoint: EndpointInfo?
    /// Why a tunnel closed, in words.
    public var reason: String?
    /// The same as a stable word: `local-closed`, `max-duration`, `failed`.
    public var reasonCode: String?
    /// Whether a tunnel's stream ended as its two sides wanted. Where not, it may have been cut.
    public var orderly: Bool?
    /// The failure that a tunnel closed with.
    public var failure: Failure?
    /// Seconds until the tunnel's end.
    public var expiresIn: Int?
    public var login: NeededLogin?
    /// How many events this subscriber missed, since it read too slowly.
    public var dropped: Int?
    /// How many connections were refused for this cause since it was told of last.
    public var refused: Int?

    public init(_ event: Kind, at time: Timestamp) {
        self.event = event
        self.time = time
    }

    /// A kind of event: an open set, since a newer daemon may tell of more.
    public struct Kind: RawRepresentable, Codable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) { self.rawValue = rawValue }

        public static let forwardAdded = Self(rawValue: "forward.added")
        public static let forwardRemoved = Self(rawValue: "forward.removed")
        public static let forwardChanged = Self(rawValue: "forward.changed")
        public static let tunnelOpened = Self(rawValue: "tunnel.opened")
        public static let tunnelClosed = Self(rawValue: "tunnel.closed")
        public static let tunnelExpiring = Self(rawValue: "tunnel.expiring")
        public static let endpointFull = Self(rawValue: "endpoint.full")
        /// For the first time a target is reached through an endpoint of another Availability Zone, which is billed.
        public static let zoneCrossed = Self(rawValue: "zone.crossed")
        public static let connectionRefused = Self(rawValue: "connection.refused")
        public static let loginNeeded = Self(rawValue: "login.needed")
        public static let eventsDropped = Self(rawValue: "events.dropped")

        /// The kinds that this version knows.
        public static let all: [Self] = [
            .forwardAdded, .forwardRemoved, .forwardChanged, .tunnelOpened, .tunnelClosed, .tunnelExpiring,
            .endpointFull, .zoneCrossed, .connectionRefused, .loginNeeded, .eventsDropped,
        ]
    }
}
