import AWS
import Basics
import Failures
import Transport

/// Which endpoints serve an instance, nearest first. Pure.
struct EndpointChoice {
    /// The endpoints of the instance's VPC, usable or not.
    let endpoints: [InstanceConnectEndpoint]
    let instance: Instance
    let usesFIPS: Bool
    let usesDualStack: Bool

    /// The usable endpoints that can reach one of these addresses, each with the first that it reaches. Those for the first
    /// address come before those that reach only a later one, on which the target may not listen. Among them those of the
    /// instance's subnet, then of its zone, then of the rest of the VPC; by id where nothing else decides, so that all
    /// clients choose alike.
    /// - Throws: `.noEndpoint` or `.endpointUnusable`.
    func candidates(for addresses: [IPAddress]) throws(Failure) -> [Endpoint] {
        let vpc = instance.vpcID ?? "its VPC"
        guard !endpoints.isEmpty else {
            throw Failure(
                .noEndpoint, "\(vpc) has no EC2 Instance Connect Endpoint",
                why: "\(instance.id) can be reached through none",
                hint: instance.subnetID.map { "aws ec2 create-instance-connect-endpoint --subnet-id \($0)" })
        }
        let usable = endpoints.filter(\.isUsable)
        guard !usable.isEmpty else { throw Self.unusable(endpoints, whose: vpc) }
        let fitting = usable.filter { endpoint in addresses.contains { Self.reaches(endpoint, $0) } }
        guard !fitting.isEmpty else {
            let types = ListText.brief(usable.map { "\($0.id) is \($0.ipAddressType ?? "ipv4")" })
            throw Failure(
                .endpointUnusable,
                "no endpoint of \(vpc) reaches \(addresses.map(\.description).joined(separator: " or "))",
                why: types)
        }
        let named = fitting.compactMap { endpoint in
            endpoint.host(usesFIPS: usesFIPS, usesDualStack: usesDualStack).map { name in
                Endpoint(
                    id: endpoint.id, dnsName: name, zone: endpoint.zone, subnetID: endpoint.subnetID,
                    nearness: nearness(of: endpoint),
                    targetAddress: addresses.first { Self.reaches(endpoint, $0) }?.description)
            }
        }
        guard !named.isEmpty else { throw Self.nameless(fitting, usesFIPS: usesFIPS) }
        let preference = addresses.map(\.description)
        func rank(_ endpoint: Endpoint) -> (Int, Int, String) {
            (preference.firstIndex { $0 == endpoint.targetAddress } ?? 0, Self.rank(endpoint.nearness), endpoint.id)
        }
        return named.sorted { rank($0) < rank($1) }
    }

    static func unusable(_ endpoints: [InstanceConnectEndpoint], whose vpc: String) -> Failure {
        let states = endpoints.map { endpoint in
            let message = endpoint.stateMessage.map { ": \(ForeignText.excerpt($0, limit: 300))" } ?? ""
            return "\(endpoint.id) is \(endpoint.state)\(message)"
        }
        return Failure(
            .endpointUnusable, "no usable endpoint in \(vpc)",
            why: ListText.brief(states, separator: "; ", longest: 400),
            hint: "aws ec2 describe-instance-connect-endpoints")
    }

    static func nameless(_ endpoints: [InstanceConnectEndpoint], usesFIPS: Bool) -> Failure {
        Failure(
            .endpointUnusable,
            "endpoint \(ListText.brief(endpoints.map(\.id))) has no \(usesFIPS ? "FIPS " : "")DNS name",
            hint: usesFIPS ? "AWS_USE_FIPS_ENDPOINT, use_fips_endpoint or the region asks for one" : nil)
    }

    /// Endpoints of type ipv4 (all old ones) reach IPv4 addresses, ipv6 ones IPv6 addresses, dual-stack ones both.
    static func reaches(_ endpoint: InstanceConnectEndpoint, _ address: IPAddress) -> Bool {
        switch endpoint.ipAddressType {
        case "dualstack": true
        case "ipv6": address.isIPv6
        default: !address.isIPv6
        }
    }

    private func nearness(of endpoint: InstanceConnectEndpoint) -> Path.Nearness {
        if let subnet = instance.subnetID, endpoint.subnetID == subnet { return .sameSubnet }
        if let zone = instance.zone, endpoint.zone == zone { return .sameZone }
        return .otherZone
    }

    private static func rank(_ nearness: Path.Nearness) -> Int {
        switch nearness {
        case .pinned: 0
        case .sameSubnet: 1
        case .sameZone: 2
        case .otherZone: 3
        }
    }
}
