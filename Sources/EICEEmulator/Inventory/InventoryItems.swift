import SocketIO

/// An emulated EC2 Instance Connect Endpoint.
public struct Endpoint: Hashable, Codable, Sendable {
    public var id: String
    public var dnsName: String?
    public var fipsDnsName: String?
    /// A second name, for endpoints whose `ipAddressType` is not `ipv4`.
    public var dualstackDnsName: String?
    public var region: String?
    public var vpc: String
    public var subnet: String
    public var zone: String?
    /// `create-complete` and the like; only the four usable states take tunnels.
    public var state: String
    public var stateMessage: String
    /// Its own limit of concurrent connections; nil for `--max-connections`.
    public var maxConnections: Int?
    /// `ipv4`, `dualstack` or `ipv6`.
    public var ipAddressType: String
    public var preserveClientIp: Bool
    public var securityGroups: [String]
    /// As IAM policy can: the longest `maxTunnelDuration` that is allowed, in seconds. Nil allows all.
    public var policyMaxDuration: Int?

    public init(id: String, maxConnections: Int? = nil) {
        self.id = id
        self.maxConnections = maxConnections
        vpc = Inventory.defaultVPC
        subnet = Inventory.defaultSubnet
        state = "create-complete"
        stateMessage = ""
        ipAddressType = "ipv4"
        preserveClientIp = false
        securityGroups = ["sg-0e1ce0000000000a1"]
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case id, dnsName, fipsDnsName, dualstackDnsName, region, vpc, subnet, zone, state, stateMessage, maxConnections
        case ipAddressType, preserveClientIp, securityGroups, policyMaxDuration
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.strictContainer(CodingKeys.self)
        self.init(id: try values.decode(String.self, forKey: .id))
        dnsName = try values.decodeIfPresent(String.self, forKey: .dnsName)
        fipsDnsName = try values.decodeIfPresent(String.self, forKey: .fipsDnsName)
        dualstackDnsName = try values.decodeIfPresent(String.self, forKey: .dualstackDnsName)
        region = try values.decodeIfPresent(String.self, forKey: .region)
        vpc = try values.decodeIfPresent(String.self, forKey: .vpc) ?? vpc
        subnet = try values.decodeIfPresent(String.self, forKey: .subnet) ?? subnet
        zone = try values.decodeIfPresent(String.self, forKey: .zone)
        state = try values.decodeIfPresent(String.self, forKey: .state) ?? state
        stateMessage = try values.decodeIfPresent(String.self, forKey: .stateMessage) ?? stateMessage
        maxConnections = try values.decodeIfPresent(Int.self, forKey: .maxConnections)
        ipAddressType = try values.decodeIfPresent(String.self, forKey: .ipAddressType) ?? ipAddressType
        preserveClientIp = try values.decodeIfPresent(Bool.self, forKey: .preserveClientIp) ?? preserveClientIp
        securityGroups = try values.decodeIfPresent([String].self, forKey: .securityGroups) ?? securityGroups
        policyMaxDuration = try values.decodeIfPresent(Int.self, forKey: .policyMaxDuration)
    }

    /// The states in which the service takes tunnels, as the AWS CLI has them.
    static let usableStates: Set = ["create-complete", "update-in-progress", "update-complete", "update-failed"]

    var isUsable: Bool { Self.usableStates.contains(state) }

    /// The name, in the service's form where the inventory gives none.
    func dnsName(in region: String) -> String {
        dnsName ?? "\(id).ec2-instance-connect-endpoint.\(region).amazonaws.com"
    }

    /// Every name that the certificate must cover and a request may be sent to.
    func allDNSNames(in region: String) -> [String] {
        [dnsName(in: region)] + [fipsDnsName, dualstackDnsName].compactMap { $0 }
    }
}

/// An emulated EC2 instance.
public struct Instance: Hashable, Codable, Sendable {
    public var id: String
    public var privateIp: String?
    public var ipv6: String?
    public var region: String?
    public var vpc: String
    public var subnet: String
    public var zone: String?
    public var state: String
    /// The Name tag.
    public var name: String?
    /// Tags beside the Name.
    public var tags: [String: String]
    public var privateDns: String?
    public var type: String
    public var securityGroups: [String]

    /// - Parameter address: IPv4 or IPv6.
    public init(id: String, address: SocketAddress?) {
        self.id = id
        privateIp = address?.family == .ipv4 ? address?.host : nil
        ipv6 = address?.family == .ipv6 ? address?.host : nil
        vpc = Inventory.defaultVPC
        subnet = Inventory.defaultSubnet
        state = "running"
        tags = [:]
        type = "t3.micro"
        securityGroups = ["sg-0e1ce0000000000b2"]
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case id, privateIp, ipv6, region, vpc, subnet, zone, state, name, tags, privateDns, type, securityGroups
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.strictContainer(CodingKeys.self)
        self.init(id: try values.decode(String.self, forKey: .id), address: nil)
        privateIp = try values.decodeIfPresent(String.self, forKey: .privateIp)
        ipv6 = try values.decodeIfPresent(String.self, forKey: .ipv6)
        region = try values.decodeIfPresent(String.self, forKey: .region)
        vpc = try values.decodeIfPresent(String.self, forKey: .vpc) ?? vpc
        subnet = try values.decodeIfPresent(String.self, forKey: .subnet) ?? subnet
        zone = try values.decodeIfPresent(String.self, forKey: .zone)
        state = try values.decodeIfPresent(String.self, forKey: .state) ?? state
        name = try values.decodeIfPresent(String.self, forKey: .name)
        tags = try values.decodeIfPresent([String: String].self, forKey: .tags) ?? [:]
        privateDns = try values.decodeIfPresent(String.self, forKey: .privateDns)
        type = try values.decodeIfPresent(String.self, forKey: .type) ?? type
        securityGroups = try values.decodeIfPresent([String].self, forKey: .securityGroups) ?? securityGroups
    }

    /// As EC2 spells it, however the inventory does.
    var canonicalIPv6: String? { ipv6.map { SocketAddress(ip: $0, port: 0)?.host ?? $0 } }

    var addresses: [String] { [privateIp, ipv6].compactMap { $0 } }

    /// The numbers that EC2 gives its instance states; nil for a word that is none of them.
    static let stateCodes = [
        "pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80,
    ]

    /// The name, in EC2's IP-based form where the inventory gives none.
    func privateDNS(in region: String) -> String {
        if let privateDns { return privateDns }
        guard let privateIp else { return "" }
        let dashed = privateIp.split(separator: ".").joined(separator: "-")
        return region == "us-east-1" ? "ip-\(dashed).ec2.internal" : "ip-\(dashed).\(region).compute.internal"
    }

    /// The Name tag first.
    var allTags: [(key: String, value: String)] {
        (name.map { [(key: "Name", value: $0)] } ?? [])
            + tags.filter { $0.key != "Name" || name == nil }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}
