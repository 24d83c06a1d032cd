import AWS
import Basics
import Failures
import Transport

/// From what a user named to a route: target → instance → endpoint.
///
/// Answers are kept for a short life, so that a replaced instance is followed; `forget` ends it early, after "Unable to
/// connect to target". Look-ups of one thing at the same time are one call, whoever asks.
public actor Discovery {
    private struct InstanceQuery: Hashable, Sendable {
        let kind: Target.Kind
        let account: Account
        let region: String
    }

    private struct EndpointQuery: Hashable, Sendable {
        enum Which: Hashable, Sendable {
            case id(String)
            case vpc(String)
        }
        let which: Which
        let account: Account
        let region: String
    }

    /// Whose answers: two shells may mean two accounts by one profile's name.
    private struct Account: Hashable, Sendable {
        let profile: String?
        let environment: EnvironmentOverlay?

        init(_ request: RouteRequest) {
            profile = request.profile
            environment = request.environment
        }
    }

    private let context: AWSContext
    private let instances: ExpiringCache<InstanceQuery, Instance>
    private let endpoints: ExpiringCache<EndpointQuery, [InstanceConnectEndpoint]>

    public init(
        context: AWSContext,
        timeToLive: Duration = .seconds(60),
        now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        self.context = context
        instances = ExpiringCache(timeToLive: timeToLive, now: now)
        endpoints = ExpiringCache(timeToLive: timeToLive, now: now)
    }

    /// How long answers are believed that come from now on.
    public nonisolated func apply(timeToLive: Duration) {
        instances.apply(timeToLive: timeToLive)
        endpoints.apply(timeToLive: timeToLive)
    }

    /// The way to a target. Endpoint id, DNS name and address together need no API call.
    /// - Throws: `.unknownTarget`, `.ambiguousTarget`, `.targetNotRunning`, `.targetWithoutAddress`, `.noEndpoint`,
    ///   `.endpointUnusable`, `.noRegion`, `.usage`, and what credentials and EC2's calls throw. Where the calling task is
    ///   cancelled: `.deadline`, at once.
    public func resolve(_ request: RouteRequest) async throws(Failure) -> Route {
        try await resolve(request, leaving: .zero)
    }

    /// The same with answers that live for longer than `margin`; those that do not are asked for anew.
    private func resolve(_ request: RouteRequest, leaving margin: Duration) async throws(Failure) -> Route {
        try Self.check(request)
        let region = try await region(of: request)
        if case .address(let address) = request.target.kind, let id = request.endpointID {
            let endpoint = try await pinned(id, request, region, margin)
            return Route(
                target: request.target, remotePort: request.remotePort,
                address: try endpoint.first(of: [address], for: request.target).description,
                region: Region.resolve(region).region, profile: request.profile, environment: request.environment,
                path: Path(through: endpoint.endpoint, region: Region.resolve(region).region))
        }
        let instance = try await instance(request, region, margin)
        let addresses = try addresses(of: instance, request.target)
        if let id = request.endpointID {
            let endpoint = try await pinned(id, request, region, margin)
            let address = try endpoint.first(of: addresses, for: request.target)
            return route(request, region, instance, address.description, [endpoint.endpoint])
        }
        let choice = try await choice(for: instance, request, region, margin)
        let candidates = try choice.candidates(for: addresses)
        return route(request, region, instance, candidates[0].targetAddress ?? addresses[0].description, candidates)
    }

    /// Forgets what is known of a target, so that the next look-up asks AWS.
    public func forget(_ request: RouteRequest) async {
        guard let region = try? await region(of: request) else { return }
        let key = InstanceQuery(kind: request.target.kind, account: Account(request), region: region)
        if let vpc = instances.kept(key)?.vpcID {
            endpoints.forget(EndpointQuery(which: .vpc(vpc), account: Account(request), region: region))
        }
        if let id = request.endpointID {
            endpoints.forget(EndpointQuery(which: .id(id), account: Account(request), region: region))
        }
        instances.forget(key)
    }

    /// Asks AWS anew for what will not live for `margin`, while it still serves others: for targets in use, so that a dial finds
    /// answers that are young. Returns the way, and until when it can be had without a call; nil where it never needs one.
    /// - Throws: what ``resolve(_:)`` throws.
    public func renew(
        _ request: RouteRequest, leaving margin: Duration
    ) async throws(Failure) -> (route: Route, end: ContinuousClock.Instant?) {
        let route = try await resolve(request, leaving: margin)
        let region = try await region(of: request)
        let instance = InstanceQuery(kind: request.target.kind, account: Account(request), region: region)
        let which = request.endpointID.map { EndpointQuery.Which.id($0) } ?? route.vpcID.map { .vpc($0) }
        let endpoint = which.map { EndpointQuery(which: $0, account: Account(request), region: region) }
        return (
            route, [instances.end(of: instance), endpoint.flatMap { endpoints.end(of: $0) }].compactMap { $0 }.min()
        )
    }

    private static func check(_ request: RouteRequest) throws(Failure) {
        if request.endpointDNSName != nil, request.endpointID == nil {
            throw Failure(
                .usage, "an endpoint's DNS name is given without its id", hint: "--endpoint eice-… --endpoint-dns NAME")
        }
        if let id = request.endpointID, !Endpoint.isID(id) {
            throw .noEndpointID(id)
        }
    }

    // MARK: - Instances

    private func instance(
        _ request: RouteRequest, _ region: String, _ margin: Duration
    ) async throws(Failure) -> Instance {
        let key = InstanceQuery(kind: request.target.kind, account: Account(request), region: region)
        let lookup = InstanceLookup(ec2: ec2(request, region), region: Region.resolve(region).region)
        return try await instances.value(key, leaving: margin, what: "cannot look up \(request.target)") {
            () throws(Failure) in try await lookup.instance(request.target)
        }
    }

    /// The addresses that can be dialed: the one that was named, else the private IPv4 address before the IPv6 one.
    private func addresses(of instance: Instance, _ target: Target) throws(Failure) -> [IPAddress] {
        if case .address(let address) = target.kind { return [address] }
        let known = [instance.privateAddress, instance.ipv6Address].compactMap { $0 }.compactMap { IPAddress($0) }
        guard !known.isEmpty else { throw Self.withoutAddress(instance, target) }
        return known
    }

    private static func withoutAddress(_ instance: Instance, _ target: Target) -> Failure {
        Failure(
            .targetWithoutAddress, "\(target) has no private address",
            why: "\(instance.id) is \(instance.state) and has neither an IPv4 nor an IPv6 address in its VPC")
    }

    // MARK: - Endpoints

    /// An endpoint that the user named.
    private struct Pinned {
        let endpoint: Endpoint
        /// What EC2 says of it; nil where it was not asked.
        let description: InstanceConnectEndpoint?

        /// The first address that it can reach.
        func first(of addresses: [IPAddress], for target: Target) throws(Failure) -> IPAddress {
            guard let description else { return addresses[0] }
            if let address = addresses.first(where: { EndpointChoice.reaches(description, $0) }) { return address }
            let known = addresses.map(\.description).joined(separator: ", ")
            throw Failure(
                .endpointUnusable, "endpoint \(endpoint.id) does not reach \(target)",
                why: "it is of type \(description.ipAddressType ?? "ipv4"), and \(target) is at \(known)",
                hint: "name another one with --endpoint, or none")
        }
    }

    private func pinned(
        _ id: String, _ request: RouteRequest, _ region: String, _ margin: Duration
    ) async throws(Failure) -> Pinned {
        if let name = request.endpointDNSName {
            guard Identifier.isHostName(name) else {
                throw Failure(
                    .usage, "\"\(ForeignText.excerpt(name, limit: 60))\" is no endpoint's DNS name",
                    hint: "it is like eice-….ec2-instance-connect-endpoint.eu-west-1.amazonaws.com")
            }
            return Pinned(endpoint: Endpoint(id: id, dnsName: name, nearness: .pinned), description: nil)
        }
        let found = try await knownEndpoints(.id(id), request, region, margin)
        guard let endpoint = found.first(where: { $0.id == id }) else {
            throw Failure(
                .noEndpoint, "endpoint \(id) is unknown", why: "no such endpoint in \(region)",
                hint: "check --endpoint, --region and --profile")
        }
        guard endpoint.isUsable else { throw EndpointChoice.unusable([endpoint], whose: endpoint.vpcID ?? region) }
        let rules = try await rules(request)
        let usesFIPS = rules.usesFIPS(in: region)
        guard let name = endpoint.host(usesFIPS: usesFIPS, usesDualStack: rules.usesDualStack) else {
            throw EndpointChoice.nameless([endpoint], usesFIPS: usesFIPS)
        }
        return Pinned(
            endpoint: Endpoint(
                id: id, dnsName: name, zone: endpoint.zone, subnetID: endpoint.subnetID, nearness: .pinned),
            description: endpoint)
    }

    private func choice(
        for instance: Instance, _ request: RouteRequest, _ region: String, _ margin: Duration
    ) async throws(Failure) -> EndpointChoice {
        guard let vpc = instance.vpcID else {
            throw Failure(
                .noEndpoint, "\(request.target) cannot be reached", why: "\(instance.id) is in no VPC that EC2 names")
        }
        let rules = try await rules(request)
        return EndpointChoice(
            endpoints: try await knownEndpoints(.vpc(vpc), request, region, margin), instance: instance,
            usesFIPS: rules.usesFIPS(in: region),
            usesDualStack: rules.usesDualStack)
    }

    private func knownEndpoints(
        _ which: EndpointQuery.Which, _ request: RouteRequest, _ region: String, _ margin: Duration
    ) async throws(Failure) -> [InstanceConnectEndpoint] {
        let key = EndpointQuery(which: which, account: Account(request), region: region)
        let ec2 = ec2(request, region)
        return try await endpoints.value(key, leaving: margin, what: "cannot look up endpoints") { () throws(Failure) in
            try await Self.describe(which, ec2)
        }
    }

    private static func describe(
        _ which: EndpointQuery.Which, _ ec2: EC2
    ) async throws(Failure) -> [InstanceConnectEndpoint] {
        switch which {
        case .id(let id):
            try await ec2.describeInstanceConnectEndpoints(ids: [id], purpose: "look up endpoint \(id)")
        case .vpc(let vpc):
            try await ec2.describeInstanceConnectEndpoints(
                filters: [EC2.Filter("vpc-id", vpc)], purpose: "look up the endpoints of \(vpc)")
        }
    }

    private func region(of request: RouteRequest) async throws(Failure) -> String {
        try await context.under(request.environment).region(named: request.region, profile: request.profile)
    }

    private func rules(_ request: RouteRequest) async throws(Failure) -> EndpointRules {
        try await context.under(request.environment).call(profile: request.profile).rules
    }

    private func ec2(_ request: RouteRequest, _ region: String) -> EC2 {
        EC2(context: context.under(request.environment), profile: request.profile, region: region)
    }

    private func route(
        _ request: RouteRequest, _ region: String, _ instance: Instance, _ address: String, _ candidates: [Endpoint]
    ) -> Route {
        let region = Region.resolve(region).region
        let paths = candidates.map { Path(through: $0, region: region) }
        return Route(
            target: request.target, remotePort: request.remotePort, instanceID: instance.id,
            address: address, region: region, profile: request.profile, environment: request.environment,
            zone: instance.zone, subnetID: instance.subnetID, vpcID: instance.vpcID, path: paths[0],
            alternatives: Array(paths.dropFirst()))
    }
}
