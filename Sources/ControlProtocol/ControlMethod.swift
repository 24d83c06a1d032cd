/// One method of the control protocol: its name and what goes in and out.
public protocol ControlMethod: Sendable {
    associatedtype Parameters: Codable & Sendable
    associatedtype Value: Codable & Sendable
    static var name: String { get }
}

/// The parameters of a method that has none: `{}`, and what a newer client may put into it.
public struct NoParameters: Codable, Hashable, Sendable {
    public init() {}
}

/// The methods, each a section of `docs/control-protocol.md`.
public enum Methods {
    public enum Hello: ControlMethod {
        public static let name = "hello"
        public typealias Parameters = HelloParameters
        public typealias Value = HelloResult
    }
    public enum ForwardAdd: ControlMethod {
        public static let name = "forward.add"
        public typealias Parameters = ForwardAddParameters
        public typealias Value = ForwardListResult
    }
    public enum ForwardSet: ControlMethod {
        public static let name = "forward.set"
        public typealias Parameters = ForwardSetParameters
        public typealias Value = ForwardListResult
    }
    public enum ForwardRemove: ControlMethod {
        public static let name = "forward.remove"
        public typealias Parameters = ForwardRemoveParameters
        public typealias Value = ForwardRemoveResult
    }
    public enum ForwardList: ControlMethod {
        public static let name = "forward.list"
        public typealias Parameters = NoParameters
        public typealias Value = ForwardListResult
    }
    public enum TunnelList: ControlMethod {
        public static let name = "tunnel.list"
        public typealias Parameters = TunnelListParameters
        public typealias Value = TunnelListResult
    }
    public enum TunnelClose: ControlMethod {
        public static let name = "tunnel.close"
        public typealias Parameters = TunnelCloseParameters
        public typealias Value = TunnelCloseResult
    }
    public enum EndpointList: ControlMethod {
        public static let name = "endpoint.list"
        public typealias Parameters = NoParameters
        public typealias Value = EndpointListResult
    }
    public enum Status: ControlMethod {
        public static let name = "status"
        public typealias Parameters = NoParameters
        public typealias Value = StatusResult
    }
    public enum Connect: ControlMethod {
        public static let name = "connect"
        public typealias Parameters = ConnectParameters
        public typealias Value = ConnectResult
    }
    public enum EventsSubscribe: ControlMethod {
        public static let name = "events.subscribe"
        public typealias Parameters = EventsSubscribeParameters
        public typealias Value = EventsSubscribeResult
    }
    public enum EventsRecent: ControlMethod {
        public static let name = "events.recent"
        public typealias Parameters = EventsRecentParameters
        public typealias Value = EventsRecentResult
    }
    public enum ForwardProbe: ControlMethod {
        public static let name = "forward.probe"
        public typealias Parameters = ForwardProbeParameters
        public typealias Value = ForwardProbeResult
    }
    public enum ProfileList: ControlMethod {
        public static let name = "profile.list"
        public typealias Parameters = NoParameters
        public typealias Value = ProfileListResult
    }
    public enum TargetList: ControlMethod {
        public static let name = "target.list"
        public typealias Parameters = TargetListParameters
        public typealias Value = TargetListResult
    }
    public enum Metrics: ControlMethod {
        public static let name = "metrics"
        public typealias Parameters = NoParameters
        public typealias Value = MetricsResult
    }
    public enum Reload: ControlMethod {
        public static let name = "reload"
        public typealias Parameters = NoParameters
        public typealias Value = ReloadResult
    }
    public enum Shutdown: ControlMethod {
        public static let name = "shutdown"
        public typealias Parameters = ShutdownParameters
        public typealias Value = ShutdownResult
    }
}
