/// An instance, as far as tunnels care (EC2 API Reference, `Instance`).
public struct Instance: Sendable, Hashable {
    public let id: String
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping` or `stopped`; kept verbatim.
    public let state: String
    public let vpcID: String?
    public let subnetID: String?
    public let zone: String?
    public let privateAddress: String?
    public let ipv6Address: String?
    public let privateDNSName: String?
    public let type: String?
    public let securityGroups: [String]
    public let tags: [String: String]

    public var name: String? { tags["Name"] }

    public init(
        id: String,
        state: String,
        vpcID: String? = nil,
        subnetID: String? = nil,
        zone: String? = nil,
        privateAddress: String? = nil,
        ipv6Address: String? = nil,
        privateDNSName: String? = nil,
        type: String? = nil,
        securityGroups: [String] = [],
        tags: [String: String] = [:]
    ) {
        self.id = id
        self.state = state
        self.vpcID = vpcID
        self.subnetID = subnetID
        self.zone = zone
        self.privateAddress = privateAddress
        self.ipv6Address = ipv6Address
        self.privateDNSName = privateDNSName
        self.type = type
        self.securityGroups = securityGroups
        self.tags = tags
    }

    /// Nil for an item without an id.
    init?(_ item: XMLNode) {
        guard let id = item.value("instanceId") else { return nil }
        self.init(
            id: id,
            state: item["instanceState"]?.value("name") ?? "unknown",
            vpcID: item.value("vpcId"),
            subnetID: item.value("subnetId"),
            zone: item["placement"]?.value("availabilityZone"),
            privateAddress: item.value("privateIpAddress"),
            ipv6Address: item.value("ipv6Address") ?? Self.interfaceAddress(item),
            privateDNSName: item.value("privateDnsName"),
            type: item.value("instanceType"),
            securityGroups: item.items("groupSet").compactMap { $0.value("groupId") },
            tags: item.tags)
    }

    private static func interfaceAddress(_ item: XMLNode) -> String? {
        for interface in item.items("networkInterfaceSet") {
            for address in interface.items("ipv6AddressesSet") {
                if let text = address.value("ipv6Address") { return text }
            }
        }
        return nil
    }
}

/// An Instance Connect Endpoint as the API describes it (EC2 API Reference, `Ec2InstanceConnectEndpoint`).
public struct InstanceConnectEndpoint: Sendable, Hashable {
    /// The two names of one network.
    public struct Names: Sendable, Hashable {
        public let dnsName: String?
        public let fipsDNSName: String?

        public init(dnsName: String?, fipsDNSName: String?) {
            self.dnsName = dnsName
            self.fipsDNSName = fipsDNSName
        }
    }

    public let id: String
    /// `create-complete`, …; kept verbatim.
    public let state: String
    public let stateMessage: String?
    public let names: Names
    /// `PublicDnsNames`: absent in older answers.
    public let publicIPv4: Names?
    public let publicDualStack: Names?
    public let vpcID: String?
    public let subnetID: String?
    public let zone: String?
    public let preservesClientIP: Bool?
    /// `ipv4`, `dualstack` or `ipv6`; nil in older answers.
    public let ipAddressType: String?
    public let securityGroups: [String]
    public let tags: [String: String]

    public init(
        id: String,
        state: String,
        stateMessage: String? = nil,
        names: Names,
        publicIPv4: Names? = nil,
        publicDualStack: Names? = nil,
        vpcID: String? = nil,
        subnetID: String? = nil,
        zone: String? = nil,
        preservesClientIP: Bool? = nil,
        ipAddressType: String? = nil,
        securityGroups: [String] = [],
        tags: [String: String] = [:]
    ) {
        self.id = id
        self.state = state
        self.stateMessage = stateMessage
        self.names = names
        self.publicIPv4 = publicIPv4
        self.publicDualStack = publicDualStack
        self.vpcID = vpcID
        self.subnetID = subnetID
        self.zone = zone
        self.preservesClientIP = preservesClientIP
        self.ipAddressType = ipAddressType
        self.securityGroups = securityGroups
        self.tags = tags
    }

    /// Nil for an item without an id.
    init?(_ item: XMLNode) {
        guard let id = item.value("instanceConnectEndpointId") else { return nil }
        self.init(
            id: id,
            state: item.value("state") ?? "unknown",
            stateMessage: item.value("stateMessage"),
            names: Names(item),
            publicIPv4: item["publicDnsNames"]?["ipv4"].map(Names.init),
            publicDualStack: item["publicDnsNames"]?["dualstack"].map(Names.init),
            vpcID: item.value("vpcId"),
            subnetID: item.value("subnetId"),
            zone: item.value("availabilityZone"),
            preservesClientIP: item.value("preserveClientIp").map { $0 == "true" },
            ipAddressType: item.value("ipAddressType"),
            securityGroups: item.items("securityGroupIdSet").map { $0.text.trimmingWhitespace() },
            tags: item.tags)
    }

    /// Whether tunnels can be opened through it in its state. The AWS CLI uses the same four.
    public var isUsable: Bool {
        ["create-complete", "update-in-progress", "update-complete", "update-failed"].contains(state)
    }

    /// The host name to connect to: never built, always one that the API gave. With FIPS asked for and no FIPS name it is
    /// nil; without a dual-stack name the plain one serves.
    public func host(usesFIPS: Bool, usesDualStack: Bool) -> String? {
        let candidates = usesDualStack ? [publicDualStack, names] : [names, publicIPv4, publicDualStack]
        for candidate in candidates.compactMap({ $0 }) {
            if let name = usesFIPS ? candidate.fipsDNSName : candidate.dnsName { return name }
        }
        return nil
    }
}

extension InstanceConnectEndpoint.Names {
    fileprivate init(_ node: XMLNode) {
        self.init(dnsName: node.value("dnsName"), fipsDNSName: node.value("fipsDnsName"))
    }
}

extension XMLNode {
    fileprivate var tags: [String: String] {
        var tags: [String: String] = [:]
        for item in items("tagSet") {
            if let key = item.value("key") { tags[key] = item["value"]?.text ?? "" }
        }
        return tags
    }
}
