import FoundationEssentials

/// What a shell, or a test, needs to know to use a running emulator.
struct EmulatorEnvironment: Sendable {
    /// In the order they are printed; `EICED_CONNECT_TO` is the last one.
    let variables: [(name: String, value: String)]
    private let facts: Facts

    struct Facts: Codable, Sendable {
        struct EndpointFact: Codable, Sendable {
            var id: String
            var dnsName: String
            var region: String
            var maxConnections: Int
        }

        var environment: [String: String]
        var tunnelPort: UInt16
        var apiURL: String
        var adminURL: String
        var authorityFile: String
        var endpoints: [EndpointFact]
        var instances: [String]
    }

    init(_ emulator: Emulator) {
        let inventory = emulator.state.inventory
        let api = "http://127.0.0.1:\(emulator.apiPort)"
        let admin = "http://127.0.0.1:\(emulator.adminPort)"
        var variables = [
            (name: "AWS_ACCESS_KEY_ID", value: emulator.credentials.accessKeyID),
            (name: "AWS_SECRET_ACCESS_KEY", value: emulator.credentials.secretAccessKey),
        ]
        if let token = emulator.credentials.sessionToken { variables.append((name: "AWS_SESSION_TOKEN", value: token)) }
        variables += [
            (name: "AWS_REGION", value: inventory.region),
            (name: "AWS_DEFAULT_REGION", value: inventory.region),
            (name: "AWS_ENDPOINT_URL_EC2", value: api),
            (name: "AWS_ENDPOINT_URL_STS", value: api),
            (name: "AWS_CA_BUNDLE", value: emulator.authorityFile),
            (name: "EICE_EMULATOR_ADMIN", value: admin),
            (name: "EICED_CONNECT_TO", value: "127.0.0.1:\(emulator.tunnelPort)"),
        ]
        self.variables = variables
        facts = Facts(
            environment: Dictionary(uniqueKeysWithValues: variables.map { ($0.name, $0.value) }),
            tunnelPort: emulator.tunnelPort, apiURL: api, adminURL: admin, authorityFile: emulator.authorityFile,
            endpoints: inventory.endpoints.map {
                Facts.EndpointFact(
                    id: $0.id, dnsName: $0.dnsName(in: inventory.region(of: $0)), region: inventory.region(of: $0),
                    maxConnections: emulator.state.limit(of: $0))
            },
            instances: inventory.instances.map(\.id))
    }

    /// Lines that a POSIX shell can take: `export NAME=VALUE`.
    var shell: String { variables.map { "export \($0.name)=\(Self.quoted($0.value))\n" }.joined() }

    /// One line of JSON.
    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(facts)).map { String(decoding: $0, as: UTF8.self) + "\n" } ?? "{}\n"
    }

    /// In single quotes where a shell would read more than the text.
    static func quoted(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "_-./:,@%+=".utf8.contains(byte)
            }
        }
        guard !isPlain || text.isEmpty else { return text }
        return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
