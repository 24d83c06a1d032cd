import Failures
import InstanceConnect
import Transport

/// What two daemons tell each other at a hand-over: one JSON object a packet. The two may be of different releases: fields and
/// kinds that one does not know are ignored, and what one release needs of the other is only ever added to.
struct HandoverMessage: Codable, Hashable, Sendable {
    struct Kind: RawRepresentable, Codable, Hashable, Sendable {
        let rawValue: String

        // From the old process, before the new one serves.

        /// Sockets and files ride on it, all by one ``HandoverMessage/name``.
        static let descriptors = Self(rawValue: "descriptors")
        /// A forward that is in no file.
        static let forward = Self(rawValue: "forward")
        /// That was all.
        static let complete = Self(rawValue: "complete")
        /// The old process serves no more: the new one begins.
        static let go = Self(rawValue: "go")

        // From the new process.

        /// All is prepared: it waits for ``go``.
        static let ready = Self(rawValue: "ready")
        /// It cannot, and ends.
        static let failed = Self(rawValue: "failed")
        /// Asks for ``taken``.
        static let report = Self(rawValue: "report")

        // From a process that drains.

        /// What it holds of each endpoint's slots, whenever that changes.
        static let taken = Self(rawValue: "taken")
    }

    var kind: Kind
    var name: String?
    var forward: SavedForward?
    var failure: Failure?
    var slots: [TakenSlots]?

    init(
        _ kind: Kind, name: String? = nil, forward: SavedForward? = nil, failure: Failure? = nil,
        slots: [TakenSlots]? = nil
    ) {
        self.kind = kind
        self.name = name
        self.forward = forward
        self.failure = failure
        self.slots = slots
    }
}

/// How many of a gateway's slots another process of ours holds.
struct TakenSlots: Codable, Hashable, Sendable {
    /// Nil from releases that knew one transport only.
    var transport: String?
    var region: String
    /// The gateway's id.
    var endpoint: String
    var dnsName: String
    var count: Int

    init(_ gateway: Gateway, host: String?, count: Int) {
        transport = gateway.transport
        region = gateway.region
        endpoint = gateway.id
        dnsName = host ?? ""
        self.count = count
    }

    var gateway: Gateway {
        Gateway(transport: transport ?? InstanceConnectTransport.kind, id: endpoint, region: region)
    }
}

/// The names of what is handed over beside listeners, which have the names of ``DescriptorStore``.
enum HandoverName {
    static let controlLock = "control.lock"
    static let forwardsLock = "forwards.lock"
    /// The way to a process that drains, followed by its number. The service manager keeps these too.
    static let predecessor = "p."
}
