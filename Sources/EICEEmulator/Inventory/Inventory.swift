import Failures
import FoundationEssentials
import OpenSSL
import SocketIO

/// What the emulated account holds: endpoints, instances, and where the instances' ports really are.
///
/// Read from a small JSON file (`eice-emulator --example-inventory` prints one). Everything has a default but ids and
/// addresses; a key that is not known is an error, since it is usually a misspelt one.
public struct Inventory: Hashable, Codable, Sendable {
    /// For endpoints and instances that name no region of their own.
    public var region: String
    public var account: String
    public var endpoints: [Endpoint]
    public var instances: [Instance]
    /// From `ADDRESS:PORT` inside the VPC to `HOST:PORT` of this host. What is missing here cannot be connected to.
    public var targets: [String: String]

    public static let defaultRegion = "eu-west-1"
    static let defaultVPC = "vpc-0e1ce0000000000a1"
    static let defaultSubnet = "subnet-0e1ce0000000000a1"

    public init(
        region: String = Inventory.defaultRegion, account: String = "123456789012", endpoints: [Endpoint] = [],
        instances: [Instance] = [], targets: [String: String] = [:]
    ) {
        self.region = region
        self.account = account
        self.endpoints = endpoints
        self.instances = instances
        self.targets = targets
    }

    enum CodingKeys: String, CodingKey, CaseIterable { case region, account, endpoints, instances, targets }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.strictContainer(CodingKeys.self)
        self.init()
        region = try values.decodeIfPresent(String.self, forKey: .region) ?? region
        account = try values.decodeIfPresent(String.self, forKey: .account) ?? account
        endpoints = try values.decodeIfPresent([Endpoint].self, forKey: .endpoints) ?? []
        instances = try values.decodeIfPresent([Instance].self, forKey: .instances) ?? []
        targets = try values.decodeIfPresent([String: String].self, forKey: .targets) ?? [:]
    }

    // MARK: Looking things up

    func endpoint(id: String) -> Endpoint? { endpoints.first { $0.id == id } }

    func region(of endpoint: Endpoint) -> String { endpoint.region ?? region }

    func region(of instance: Instance) -> String { instance.region ?? region }

    func instance(address: String) -> Instance? {
        guard let wanted = SocketAddress(ip: address, port: 0) else { return nil }
        return instances.first { instance in
            instance.addresses.contains { SocketAddress(ip: $0, port: 0) == wanted }
        }
    }

    /// Every region in which something stands.
    var regions: Set<String> {
        Set([region] + endpoints.map { self.region(of: $0) } + instances.map { self.region(of: $0) })
    }

    /// From each port of a private address to where it is on this host, without those of instances that do not run.
    var reachableTargets: [SocketAddress: SocketAddress] {
        let down = instances.filter { $0.state != "running" }.flatMap(\.addresses).map {
            SocketAddress(ip: $0, port: 0)
        }
        var table: [SocketAddress: SocketAddress] = [:]
        for (inside, outside) in targets {
            guard let from = Self.address(inside), let to = Self.address(outside) else { continue }
            if !down.contains(from.with(port: 0)) { table[from] = to }
        }
        return table
    }

    /// `ADDRESS:PORT`, `[ADDRESS]:PORT`; `localhost` is 127.0.0.1.
    static func address(_ text: some StringProtocol) -> SocketAddress? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            return nil
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        return SocketAddress(ip: host == "localhost" ? "127.0.0.1" : host, port: port)
    }

    // MARK: Reading and checking

    /// Reads the file's content.
    ///
    /// - Parameter name: the file's, for the error.
    public static func parse(_ json: some DataProtocol, name: String) throws(Failure) -> Inventory {
        let inventory: Inventory
        do {
            inventory = try JSONDecoder().decode(Inventory.self, from: Data(json))
        } catch let error as DecodingError {
            throw Failure(
                .malformedFile, "cannot read the inventory \(name)", why: error.sentence,
                hint: "eice-emulator --example-inventory prints a good one")
        } catch {
            throw Failure(.malformedFile, "cannot read the inventory \(name)", why: "\(error)")
        }
        try inventory.check(name: name)
        return inventory
    }

    /// - Throws: the first thing that cannot be right, named.
    func check(name: String) throws(Failure) {
        func wrong(_ why: String) -> Failure { Failure(.malformedFile, "the inventory \(name) is wrong", why: why) }
        var seen: Set<String> = []
        for id in endpoints.map(\.id) + instances.map(\.id) where !seen.insert(id).inserted {
            throw wrong("\(id) stands there twice")
        }
        for endpoint in endpoints {
            guard endpoint.id.hasPrefix("eice-") else { throw wrong("\(endpoint.id) is no endpoint's id (eice-…)") }
            guard endpoint.maxConnections ?? 1 >= 0 else { throw wrong("\(endpoint.id): maxConnections is negative") }
        }
        for instance in instances {
            guard instance.id.hasPrefix("i-") else { throw wrong("\(instance.id) is no instance's id (i-…)") }
            for address in instance.addresses where SocketAddress(ip: address, port: 0) == nil {
                throw wrong("\(instance.id): \(address) is no IP address")
            }
        }
        for (inside, outside) in targets.sorted(by: { $0.key < $1.key }) {
            for text in [inside, outside] where Self.address(text) == nil {
                throw wrong("target \(inside)=\(outside): \(text) is not ADDRESS:PORT")
            }
        }
    }

    // MARK: The common case without a file

    /// Adds what `--target ADDRESS:PORT=HOST:PORT` says; an address that no instance has gets one.
    mutating func addTarget(_ shorthand: String) throws(Failure) {
        let parts = shorthand.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, let inside = Self.address(parts[0]), Self.address(parts[1]) != nil else {
            throw Failure(
                .usage, "cannot use --target \(shorthand)", why: "it must be ADDRESS:PORT=HOST:PORT",
                hint: "--target 10.0.1.5:22=127.0.0.1:2022")
        }
        targets[String(parts[0])] = String(parts[1])
        if instance(address: inside.host) == nil {
            let digest = Digest.hexadecimal(Digest.sha256(inside.host.utf8))
            instances.append(Instance(id: "i-0\(digest.prefix(16))", address: inside))
        }
    }

    /// Adds what `--instance ID=ADDRESS` says.
    mutating func addInstance(_ shorthand: String) throws(Failure) {
        let parts = shorthand.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].hasPrefix("i-"), let address = SocketAddress(ip: String(parts[1]), port: 0)
        else {
            throw Failure(
                .usage, "cannot use --instance \(shorthand)", why: "it must be ID=ADDRESS",
                hint: "--instance i-0abc1234def567890=10.0.1.5")
        }
        // An instance that --target made up for this address is replaced by the named one.
        instances.removeAll { $0.addresses.contains(address.host) }
        instances.append(Instance(id: String(parts[0]), address: address))
    }

    /// Sees to it that there is an endpoint.
    mutating func addDefaultEndpoint() {
        guard endpoints.isEmpty else { return }
        endpoints = [Endpoint(id: "eice-0e1ce000000000001")]
    }

    /// What `--example-inventory` prints.
    public static let example = """
        {
          "region": "eu-west-1",
          "account": "123456789012",
          "endpoints": [
            {
              "id": "eice-0123456789abcdef0",
              "vpc": "vpc-0a1b2c3d4e5f60718",
              "subnet": "subnet-0a1b2c3d4e5f60718",
              "zone": "eu-west-1a",
              "state": "create-complete",
              "maxConnections": 20
            }
          ],
          "instances": [
            {
              "id": "i-0123456789abcdef0",
              "privateIp": "10.0.1.5",
              "vpc": "vpc-0a1b2c3d4e5f60718",
              "subnet": "subnet-0a1b2c3d4e5f60718",
              "zone": "eu-west-1a",
              "state": "running",
              "name": "web-1",
              "type": "t3.micro"
            }
          ],
          "targets": {
            "10.0.1.5:22": "127.0.0.1:2022",
            "10.0.1.5:3389": "127.0.0.1:3389"
          }
        }
        """
}

extension Decoder {
    /// A container that refuses keys it does not know.
    func strictContainer<Keys: CodingKey & CaseIterable & RawRepresentable>(
        _ keys: Keys.Type
    ) throws -> KeyedDecodingContainer<Keys> where Keys.RawValue == String {
        let known = Set(Keys.allCases.map(\.rawValue))
        for key in try container(keyedBy: AnyKey.self).allKeys where !known.contains(key.stringValue) {
            let names = Keys.allCases.map(\.rawValue).joined(separator: ", ")
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: codingPath, debugDescription: "\"\(key.stringValue)\" is unknown; known are \(names)"))
        }
        return try container(keyedBy: keys)
    }
}

private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

extension DecodingError {
    /// Where and why, in one sentence: "endpoints[0].id: no value".
    var sentence: String {
        func at(_ context: Context, _ last: (any CodingKey)? = nil) -> String {
            var path = ""
            for key in context.codingPath + (last.map { [$0] } ?? []) {
                path += key.intValue.map { "[\($0)]" } ?? (path.isEmpty ? key.stringValue : ".\(key.stringValue)")
            }
            return path.isEmpty ? "" : "\(path): "
        }
        return switch self {
        case .keyNotFound(let key, let context): "\(at(context, key))it is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context): "\(at(context))\(context.debugDescription)"
        case .dataCorrupted(let context):
            // The parser's own words, with line and column, hide in the underlying error.
            "\(at(context))\(context.underlyingError.map { "\($0)" } ?? context.debugDescription)"
        @unknown default: "\(self)"
        }
    }
}
