import Basics

/// An instance, as far as tunnels care (EC2 API Reference, `Instance`).
public struct Instance: Sendable, Hashable {
    public let id: String
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping` or `stopped`.
    public let state: String
    public let vpcID: String?
    public let subnetID: String?
    public let zone: String?
    public let privateAddress: String?
    public let ipv6Address: String?
    public let privateDNSName: String?
    public let type: String?
    public let securityGroups: [String]
    /// As messages may carry them.
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
    init?(_ item: XMLNode, _ reader: AnswerReader) {
        guard let id = reader.id(item, "instanceId", prefix: "i") else { return nil }
        self.init(
            id: id,
            state: item["instanceState"].flatMap { reader.word($0, "name") } ?? "unknown",
            vpcID: reader.id(item, "vpcId", prefix: "vpc"),
            subnetID: reader.id(item, "subnetId", prefix: "subnet"),
            zone: item["placement"].flatMap { reader.word($0, "availabilityZone") },
            privateAddress: reader.address(item, "privateIpAddress"),
            ipv6Address: reader.address(item, "ipv6Address") ?? Self.interfaceAddress(item, reader),
            privateDNSName: reader.hostName(item, "privateDnsName"),
            type: reader.text(item, "instanceType", limit: 64),
            securityGroups: item.items("groupSet").compactMap { reader.id($0, "groupId", prefix: "sg") },
            tags: reader.tags(item))
    }

    private static func interfaceAddress(_ item: XMLNode, _ reader: AnswerReader) -> String? {
        for interface in item.items("networkInterfaceSet") {
            for address in interface.items("ipv6AddressesSet") {
                if let text = reader.address(address, "ipv6Address") { return text }
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
    /// `create-complete`, …
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
    init?(_ item: XMLNode, _ reader: AnswerReader) {
        guard let id = reader.id(item, "instanceConnectEndpointId", prefix: "eice") else { return nil }
        self.init(
            id: id,
            state: reader.word(item, "state") ?? "unknown",
            stateMessage: reader.text(item, "stateMessage", limit: 300),
            names: Names(item, reader),
            publicIPv4: item["publicDnsNames"]?["ipv4"].map { Names($0, reader) },
            publicDualStack: item["publicDnsNames"]?["dualstack"].map { Names($0, reader) },
            vpcID: reader.id(item, "vpcId", prefix: "vpc"),
            subnetID: reader.id(item, "subnetId", prefix: "subnet"),
            zone: reader.word(item, "availabilityZone"),
            preservesClientIP: item.value("preserveClientIp").map { $0 == "true" },
            ipAddressType: reader.word(item, "ipAddressType"),
            securityGroups: item.items("securityGroupIdSet").map { $0.text.trimmingWhitespace() }
                .filter { Identifier.isResource($0, prefix: "sg") },
            tags: reader.tags(item))
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
    fileprivate init(_ node: XMLNode, _ reader: AnswerReader) {
        self.init(dnsName: reader.hostName(node, "dnsName"), fipsDNSName: reader.hostName(node, "fipsDnsName"))
    }
}
