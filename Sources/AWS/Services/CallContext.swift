import Basics
import Failures
import Logging
import SecureSocket

/// What a call to a service needs beside its content: where settings come from, and the means to send it.
public struct CallContext: Sendable {
    public let environment: Environment
    public let config: SharedConfig
    /// The settings of the profile the call is made for; empty where there is none.
    public let profile: SharedConfig.Section
    public let http: HTTPClient
    public let clock: SigningClock
    public let logger: Logger

    /// How endpoints are named for this profile.
    public var rules: EndpointRules { EndpointRules(environment: environment, config: config, profile: profile) }

    /// The file of trust roots: `AWS_CA_BUNDLE`, the profile's `ca_bundle`, `SSL_CERT_FILE`; nil for the system's.
    public var trustRoots: String? {
        if let path = environment["AWS_CA_BUNDLE"] ?? profile["ca_bundle"] { return environment.expand(path: path) }
        return environment["SSL_CERT_FILE"]
    }

    /// The region that environment or profile configure.
    var region: String? { Region.configured(named: nil, environment: environment, profile: profile) }

    /// `aws … --profile X` takes this suffix in hints; empty for the default profile.
    var profileOption: String { profile.name == "default" ? "" : " --profile \(profile.name)" }

    /// Sends a request to a service, through the proxy that the environment names for it.
    func send(
        _ method: String,
        to address: WebAddress,
        path: String? = nil,
        headers: [(String, String)],
        body: [UInt8] = [],
        purpose: String,
        secrets: [String] = []
    ) async throws(Failure) -> HTTPResponse {
        let proxy = ProxySettings(environment: environment).proxy(
            forHost: address.host, port: address.effectivePort, isHTTPS: address.isHTTPS)
        let base = address.url.hasSuffix("/") ? String(address.url.dropLast()) : address.url
        return try await http.send(
            HTTPRequest(
                method: method, url: path.map { base + $0 } ?? address.url, headers: headers, body: body, proxy: proxy,
                trustRoots: trustRoots, purpose: purpose, secrets: secrets))
    }
}
