import Transport

/// What a forward is: a listener's place, a target, and how its tunnels are.
public struct ForwardSpecification: Hashable, Sendable {
    /// Where local clients connect.
    public enum Local: Hashable, Sendable {
        /// 0 lets the kernel choose.
        case port(UInt16)
        /// A Unix socket.
        case path(String)
    }

    /// Why it exists.
    public enum Origin: String, Hashable, Sendable {
        case request, configuration
    }

    public var name: String
    public var route: RouteRequest
    public var local: Local
    /// The IP address to listen on; nil for both loopback addresses.
    public var bindAddress: String?
    public var allowsRemoteClients = false
    /// Whom it serves beside the daemon's user; nil: as the daemon's defaults say.
    public var access: AccessRules?
    public var maxDuration: Duration
    public var idleTimeout: Duration?
    public var priority = TunnelPriority.normal
    /// Warm tunnels to keep ready.
    public var warm = 0
    public var isEphemeral = false
    public var origin = Origin.request

    public init(
        name: String, route: RouteRequest, local: Local, bindAddress: String? = nil, maxDuration: Duration,
        idleTimeout: Duration? = nil
    ) {
        self.name = name
        self.route = route
        self.local = local
        self.bindAddress = bindAddress
        self.maxDuration = maxDuration
        self.idleTimeout = idleTimeout
    }

    /// Where it listens, as far as that differs: a Unix socket has no address to choose.
    var place: [String] {
        switch local {
        case .path(let path): [path]
        case .port(let port): [String(port), bindAddress ?? ""]
        }
    }

    /// Whether a new forward may have the name: 1 to 64 ASCII letters, digits, dots, underscores and hyphens. It must not
    /// begin with a dot (`.` and `..` are folders) or with a hyphen (commands would take it for an option).
    public static func isAcceptableName(_ name: String) -> Bool {
        isValidName(name) && !name.hasPrefix("-") && !name.hasPrefix(".")
    }

    /// ``isAcceptableName(_:)`` as a sentence says it.
    public static let nameRule =
        "expected 1 to 64 letters, digits, _ . -, not beginning with . or -"

    /// Whether a forward may be called so: also what earlier releases accepted and saved.
    public static func isValidName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}
