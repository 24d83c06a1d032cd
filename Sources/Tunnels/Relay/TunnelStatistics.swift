import Synchronization

/// What passed through one tunnel. Written by the loop that relays it, read from anywhere.
public final class TunnelStatistics: Sendable {
    private let up = Atomic<UInt64>(0)
    private let down = Atomic<UInt64>(0)

    public init() {}

    /// Payload bytes that were taken from the local client and encrypted for the endpoint.
    public var localToRemote: UInt64 { up.load(ordering: .relaxed) }
    /// Payload bytes that the local client's socket took.
    public var remoteToLocal: UInt64 { down.load(ordering: .relaxed) }

    /// Both together.
    var carried: UInt64 { localToRemote + remoteToLocal }

    func addLocalToRemote(_ count: Int) { up.wrappingAdd(UInt64(count), ordering: .relaxed) }
    func addRemoteToLocal(_ count: Int) { down.wrappingAdd(UInt64(count), ordering: .relaxed) }
}
