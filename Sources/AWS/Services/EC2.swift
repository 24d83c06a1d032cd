import Failures

/// The two calls of the EC2 Query API (version 2016-11-15) that discovery needs.
public struct EC2: Sendable {
    /// A filter as EC2 has it: `*` and `?` in values are wildcards unless a backslash stands before them.
    public struct Filter: Sendable, Hashable {
        public let name: String
        public let values: [String]

        public init(_ name: String, _ values: String...) {
            self.name = name
            self.values = values
        }

        /// A value that is meant as it stands.
        public static func literal(_ text: String) -> String {
            String(text.flatMap { ["*", "?", "\\"].contains($0) ? ["\\", $0] : [$0] })
        }
    }

    private let context: AWSContext
    private let profile: String?
    private let region: String
    /// Pages of one call at most: an answer that never ends must not hold memory without bound.
    private static let largestPageCount = 200

    public init(context: AWSContext, profile: String?, region: String) {
        self.context = context
        self.profile = profile
        self.region = region
    }

    /// The instances with these ids, or all that pass the filters.
    /// - Throws: `.unknownTarget` for an id that EC2 does not know, and what every call throws: credentials, network,
    ///   `.accessDenied`, `.throttled`, `.serviceUnavailable`.
    public func describeInstances(
        ids: [String] = [], filters: [Filter] = [], purpose: String
    ) async throws(Failure) -> [Instance] {
        var parameters = ids.enumerated().map { ("InstanceId.\($0.offset + 1)", $0.element) } + Self.encode(filters)
        // EC2 refuses a page size beside ids.
        if ids.isEmpty { parameters.append(("MaxResults", "1000")) }
        return try await pages("DescribeInstances", parameters, purpose: purpose) { page, reader in
            page.items("reservationSet").flatMap { $0.items("instancesSet") }.compactMap { Instance($0, reader) }
        }
    }

    /// The Instance Connect Endpoints with these ids, or all that pass the filters.
    public func describeInstanceConnectEndpoints(
        ids: [String] = [], filters: [Filter] = [], purpose: String
    ) async throws(Failure) -> [InstanceConnectEndpoint] {
        let parameters =
            ids.enumerated().map { ("InstanceConnectEndpointId.\($0.offset + 1)", $0.element) } + Self.encode(filters)
        return try await pages("DescribeInstanceConnectEndpoints", parameters, purpose: purpose) { page, reader in
            page.items("instanceConnectEndpointSet").compactMap { InstanceConnectEndpoint($0, reader) }
        }
    }

    private func pages<Item: Sendable>(
        _ action: String, _ parameters: [(String, String)], purpose: String, _ read: (XMLNode, AnswerReader) -> [Item]
    ) async throws(Failure) -> [Item] {
        let client = QueryClient(
            call: try await context.call(profile: profile), service: .ec2, version: "2016-11-15", region: region,
            authorization: .renewed(ProfileCredentials(chain: context.credentials, profile: profile)))
        var items: [Item] = []
        var token: String?
        for _ in 0..<Self.largestPageCount {
            let page = try await client.call(
                action, parameters + (token.map { [("NextToken", $0)] } ?? []), purpose: purpose)
            items += read(page.root, AnswerReader(sent: page.sent))
            guard let next = page.root.value("nextToken"), next != token else { return items }
            token = next
        }
        throw Failure(
            .protocolMismatch, "cannot \(purpose)", why: "\(action) did not end after \(Self.largestPageCount) pages")
    }

    private static func encode(_ filters: [Filter]) -> [(String, String)] {
        var parameters: [(String, String)] = []
        for (index, filter) in filters.enumerated() {
            parameters.append(("Filter.\(index + 1).Name", filter.name))
            for (position, value) in filter.values.enumerated() {
                parameters.append(("Filter.\(index + 1).Value.\(position + 1)", value))
            }
        }
        return parameters
    }
}
