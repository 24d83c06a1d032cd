/// `DescribeInstances` and `DescribeInstanceConnectEndpoints`, with EC2's element names.
extension EC2Service {
    private static let namespace = " xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\""

    // MARK: Instances

    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
    func describeInstances(_ query: EC2Query, region: String, requestID: String) throws(ErrorAnswer) -> XMLElement {
        var instances = inventory.instances.filter { inventory.region(of: $0) == region }
        let ids = query.list("InstanceId")
        if !ids.isEmpty { instances = try Self.instances(ids, among: instances) }
        for filter in query.filters
        where Self.instanceValues(Instance(id: "", address: nil), region, filter.name) == nil {
            throw Self.unknownFilter(filter.name)
        }
        instances = try Self.filter(instances, by: query.filters) { Self.instanceValues($0, region, $1) }
        let (items, next) = try page(instances, query, range: 5...1_000)
        var document = XMLElement(
            "DescribeInstancesResponse",
            [
                XMLElement("requestId", requestID),
                .list("reservationSet", items.map { reservation(of: $0, in: region) }),
                next.map { XMLElement("nextToken", $0) },
            ])
        document.attributes = Self.namespace
        return document
    }

    private static func instances(_ ids: [String], among all: [Instance]) throws(ErrorAnswer) -> [Instance] {
        var found: [Instance] = []
        var unknown: [String] = []
        for id in ids {
            let digits = id.dropFirst(2)
            guard id.hasPrefix("i-"), digits.count == 8 || digits.count == 17,
                digits.allSatisfy({ $0.isHexDigit && !$0.isUppercase })
            else { throw ErrorAnswer(code: "InvalidInstanceID.Malformed", message: "Invalid id: \"\(id)\"") }
            if let instance = all.first(where: { $0.id == id }) {
                if !found.contains(instance) { found.append(instance) }
            } else {
                unknown.append(id)
            }
        }
        guard unknown.isEmpty else {
            let list = unknown.joined(separator: ", ")
            throw ErrorAnswer(
                code: "InvalidInstanceID.NotFound",
                message: unknown.count == 1
                    ? "The instance ID '\(list)' does not exist" : "The instance IDs '\(list)' do not exist")
        }
        return found
    }

    private static func instanceValues(_ instance: Instance, _ region: String, _ filter: String) -> [String]? {
        let tags = instance.allTags
        switch filter {
        case "instance-id": return [instance.id]
        case "instance-state-name": return [instance.state]
        case "instance-state-code": return [String(Instance.stateCodes[instance.state] ?? 0)]
        case "instance-type": return [instance.type]
        case "private-ip-address", "network-interface.addresses.private-ip-address":
            return instance.privateIp.map { [$0] } ?? []
        case "ipv6-address", "network-interface.ipv6-addresses.ipv6-address":
            return instance.canonicalIPv6.map { [$0] } ?? []
        case "private-dns-name", "network-interface.private-dns-name": return [instance.privateDNS(in: region)]
        case "vpc-id", "network-interface.vpc-id": return [instance.vpc]
        case "subnet-id", "network-interface.subnet-id": return [instance.subnet]
        case "availability-zone": return [instance.zone ?? "\(region)a"]
        case "instance.group-id", "network-interface.group-id": return instance.securityGroups
        case "tag-key": return tags.map(\.key)
        case _ where filter.hasPrefix("tag:"):
            return tags.filter { $0.key == filter.dropFirst(4) }.map(\.value)
        default: return nil
        }
    }

    private func reservation(of instance: Instance, in region: String) -> [XMLElement?] {
        [
            XMLElement("reservationId", "r-\(instance.id.dropFirst(2))"),
            XMLElement("ownerId", inventory.account),
            XMLElement("groupSet", []),
            .list("instancesSet", [describe(instance, in: region)]),
        ]
    }

    private func describe(_ instance: Instance, in region: String) -> [XMLElement?] {
        // A terminated instance has lost its network.
        let isGone = instance.state == "terminated"
        return [
            XMLElement("instanceId", instance.id),
            XMLElement("imageId", "ami-0e1ce0000000000a1"),
            XMLElement(
                "instanceState",
                [
                    XMLElement("code", Instance.stateCodes[instance.state] ?? 0),
                    XMLElement("name", instance.state),
                ]),
            XMLElement("privateDnsName", isGone ? "" : instance.privateDNS(in: region)),
            XMLElement("dnsName", ""),
            XMLElement("reason", ""),
            XMLElement("amiLaunchIndex", 0),
            XMLElement("instanceType", instance.type),
            XMLElement("launchTime", "2026-01-01T00:00:00.000Z"),
            XMLElement(
                "placement",
                [
                    XMLElement("availabilityZone", instance.zone ?? "\(region)a"), XMLElement("tenancy", "default"),
                ]),
            isGone ? nil : XMLElement("subnetId", instance.subnet),
            isGone ? nil : XMLElement("vpcId", instance.vpc),
            isGone ? nil : instance.privateIp.map { XMLElement("privateIpAddress", $0) },
            isGone ? nil : instance.canonicalIPv6.map { XMLElement("ipv6Address", $0) },
            XMLElement("architecture", "x86_64"),
            Self.groups(instance.securityGroups),
            isGone ? XMLElement("networkInterfaceSet", []) : networkInterfaces(of: instance),
            .list("tagSet", instance.allTags.map { [XMLElement("key", $0.key), XMLElement("value", $0.value)] }),
        ]
    }

    private func networkInterfaces(of instance: Instance) -> XMLElement {
        .list(
            "networkInterfaceSet",
            [
                [
                    XMLElement("networkInterfaceId", "eni-\(instance.id.dropFirst(2))"),
                    XMLElement("subnetId", instance.subnet),
                    XMLElement("vpcId", instance.vpc),
                    XMLElement("status", "in-use"),
                    instance.privateIp.map { XMLElement("privateIpAddress", $0) },
                    Self.groups(instance.securityGroups),
                    .list("ipv6AddressesSet", instance.canonicalIPv6.map { [[XMLElement("ipv6Address", $0)]] } ?? []),
                ]
            ])
    }

    private static func groups(_ ids: [String]) -> XMLElement {
        .list("groupSet", ids.map { [XMLElement("groupId", $0), XMLElement("groupName", "emulated-\($0)")] })
    }

    // MARK: Endpoints

    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceConnectEndpoints.html>
    func describeEndpoints(_ query: EC2Query, region: String, requestID: String) throws(ErrorAnswer) -> XMLElement {
        var endpoints = inventory.endpoints.filter { inventory.region(of: $0) == region }
        let ids = query.list("InstanceConnectEndpointId")
        for id in ids where !endpoints.contains(where: { $0.id == id }) {
            throw ErrorAnswer(
                code: "InvalidInstanceConnectEndpointId.NotFound",
                message: "The instance connect endpoint ID '\(id)' does not exist")
        }
        if !ids.isEmpty { endpoints = endpoints.filter { ids.contains($0.id) } }
        for filter in query.filters where Self.endpointValues(Endpoint(id: ""), region, filter.name) == nil {
            throw Self.unknownFilter(filter.name)
        }
        endpoints = try Self.filter(endpoints, by: query.filters) { Self.endpointValues($0, region, $1) }
        let (items, next) = try page(endpoints, query, range: 1...50)
        var document = XMLElement(
            "DescribeInstanceConnectEndpointsResponse",
            [
                XMLElement("requestId", requestID),
                .list("instanceConnectEndpointSet", items.map { describe($0, in: region) }),
                next.map { XMLElement("nextToken", $0) },
            ])
        document.attributes = Self.namespace
        return document
    }

    private static func endpointValues(_ endpoint: Endpoint, _ region: String, _ filter: String) -> [String]? {
        switch filter {
        case "instance-connect-endpoint-id": [endpoint.id]
        case "state": [endpoint.state]
        case "subnet-id": [endpoint.subnet]
        case "vpc-id": [endpoint.vpc]
        case "availability-zone": [endpoint.zone ?? "\(region)a"]
        case "tag-key": []
        case _ where filter.hasPrefix("tag:"): []
        default: nil
        }
    }

    private func describe(_ endpoint: Endpoint, in region: String) -> [XMLElement?] {
        let name = endpoint.dnsName(in: region)
        return [
            XMLElement("ownerId", inventory.account),
            XMLElement("instanceConnectEndpointId", endpoint.id),
            XMLElement("instanceConnectEndpointArn", inventory.arn(of: endpoint)),
            XMLElement("state", endpoint.state),
            XMLElement("stateMessage", endpoint.stateMessage),
            XMLElement("dnsName", name),
            endpoint.fipsDnsName.map { XMLElement("fipsDnsName", $0) },
            .list("networkInterfaceIdSet", texts: ["eni-\(endpoint.id.dropFirst(5))"]),
            XMLElement("vpcId", endpoint.vpc),
            XMLElement("availabilityZone", endpoint.zone ?? "\(region)a"),
            XMLElement("createdAt", "2026-01-01T00:00:00.000Z"),
            XMLElement("subnetId", endpoint.subnet),
            XMLElement("preserveClientIp", endpoint.preserveClientIp),
            .list("securityGroupIdSet", texts: endpoint.securityGroups),
            XMLElement("tagSet", []),
            XMLElement("ipAddressType", endpoint.ipAddressType),
            XMLElement(
                "publicDnsNames",
                [
                    Self.names("ipv4", name, endpoint.fipsDnsName),
                    endpoint.dualstackDnsName.map { Self.names("dualstack", $0, nil) },
                ]),
        ]
    }

    private static func names(_ element: String, _ name: String, _ fips: String?) -> XMLElement {
        XMLElement(element, [XMLElement("dnsName", name), fips.map { XMLElement("fipsDnsName", $0) }])
    }
}

extension Inventory {
    func arn(of endpoint: Endpoint) -> String {
        "arn:aws:ec2:\(region(of: endpoint)):\(account):instance-connect-endpoint/\(endpoint.id)"
    }
}
