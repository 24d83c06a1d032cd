import Basics
import Failures

/// A service that is called, with the names that its addresses, its variables and its signatures use.
public struct Service: Sendable, Hashable {
    /// What signatures name.
    public let signingName: String
    /// The first label of its host names.
    let hostPrefix: String
    /// As in `AWS_ENDPOINT_URL_EC2` and, in small letters, in `services` sections.
    let settingName: String
    /// Whether its plain names in GovCloud are the FIPS ones, so that there are no others. So it is with these four; AWS's
    /// rule sets (botocore's `endpoint-rule-set-1.json`) say it of each service.
    let isPlainFIPSInGovCloud: Bool

    public static let ec2 = Service(
        signingName: "ec2", hostPrefix: "ec2", settingName: "EC2", isPlainFIPSInGovCloud: true)
    public static let sts = Service(
        signingName: "sts", hostPrefix: "sts", settingName: "STS", isPlainFIPSInGovCloud: true)
    public static let sso = Service(
        signingName: "awsssoportal", hostPrefix: "portal.sso", settingName: "SSO", isPlainFIPSInGovCloud: true)
    public static let ssoOIDC = Service(
        signingName: "sso-oauth", hostPrefix: "oidc", settingName: "SSO_OIDC", isPlainFIPSInGovCloud: true)
}

/// Where a service of a region is reached.
public struct ServiceEndpoint: Sendable, Hashable {
    public let service: Service
    /// The real one, which signatures name, even if a pseudo region led here.
    public let region: String
    public let address: WebAddress
}

/// The rules that lead to a service's address: overrides of the environment and the profile, then partition, FIPS and
/// dual-stack (AWS SDKs and Tools Reference Guide, "Service-specific endpoints").
public struct EndpointRules: Sendable {
    private let environment: Environment
    private let config: SharedConfig
    private let profile: SharedConfig.Section

    public init(environment: Environment, config: SharedConfig, profile: SharedConfig.Section) {
        self.environment = environment
        self.config = config
        self.profile = profile
    }

    /// Whether settings or the region's own name ask for FIPS endpoints.
    public func usesFIPS(in region: String) -> Bool {
        Region.resolve(region).isFIPS || flag("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")
    }
    public var usesDualStack: Bool { flag("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint") }

    /// - Throws: `.configuration` where an override is no `http` or `https` URL, `.noRegion` where the region's name cannot be
    ///   part of a host name.
    public func endpoint(of service: Service, in name: String) throws(Failure) -> ServiceEndpoint {
        let region = try Region.checked(name)
        if let (url, place) = try override(of: service) {
            guard let address = WebAddress(url) else {
                throw Failure(
                    .configuration, "\(place) is no URL", why: "\"\(url)\" was found",
                    hint: "write it like https://ec2.eu-west-1.amazonaws.com")
            }
            return ServiceEndpoint(service: service, region: region, address: address)
        }
        let host = host(of: service, in: region, usesFIPS: usesFIPS(in: name))
        let address = WebAddress(isHTTPS: true, host: host, port: nil, path: "/")
        return ServiceEndpoint(service: service, region: region, address: address)
    }

    private func host(of service: Service, in region: String, usesFIPS: Bool) -> String {
        let partition = Partition.of(region: region)
        var prefix = service.hostPrefix
        let isPlain = partition == .governmentUS && !usesDualStack && service.isPlainFIPSInGovCloud
        if usesFIPS, !isPlain { prefix += "-fips" }
        return "\(prefix).\(region).\(usesDualStack ? partition.dualStackSuffix : partition.dnsSuffix)"
    }

    private func override(of service: Service) throws(Failure) -> (url: String, place: String)? {
        let ignored = flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls")
        guard !ignored else { return nil }
        for variable in ["AWS_ENDPOINT_URL_\(service.settingName)", "AWS_ENDPOINT_URL"] {
            if let url = environment[variable] { return (url, variable) }
        }
        if let name = profile["services"], let section = try config.services[name]?.usable(),
            let setting = section.settings[service.settingName.lowercased()], let url = setting.nested?["endpoint_url"]
        {
            return (url, setting.place)
        }
        if let url = profile["endpoint_url"] { return (url, profile.place(of: "endpoint_url")) }
        return nil
    }

    private func flag(_ variable: String, _ key: String) -> Bool {
        (environment[variable] ?? profile[key])?.lowercased() == "true"
    }
}
