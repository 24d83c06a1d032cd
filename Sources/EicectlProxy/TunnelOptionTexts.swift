import ControlProtocol
import Failures

/// The options of a tunnel as they were typed, whoever parsed them: the argument parser, or `proxy` by hand.
public struct TunnelOptionTexts: Equatable, Sendable {
    public var profile: String?
    public var region: String?
    public var endpoint: String?
    public var endpointDNSName: String?
    public var maxDuration: String?
    public var idleTimeout: String?
    public var priority: String?

    public init(
        profile: String? = nil, region: String? = nil, endpoint: String? = nil, endpointDNSName: String? = nil,
        maxDuration: String? = nil, idleTimeout: String? = nil, priority: String? = nil
    ) {
        self.profile = profile
        self.region = region
        self.endpoint = endpoint
        self.endpointDNSName = endpointDNSName
        self.maxDuration = maxDuration
        self.idleTimeout = idleTimeout
        self.priority = priority
    }

    /// What is sent to the daemon: the options, and what the shell says about AWS.
    public func options(environment: (String) -> String?) throws(Failure) -> TunnelOptions {
        if endpointDNSName != nil && endpoint == nil {
            throw Failure(.usage, "--endpoint-dns without --endpoint", why: "the name belongs to an endpoint's id")
        }
        var options = try settings()
        let caller = callerEnvironment(environment)
        options.environment = caller.isEmpty ? nil : caller
        return options
    }

    /// The options alone.
    public func settings() throws(Failure) -> TunnelOptions {
        var options = TunnelOptions(
            profile: profile, region: region, endpoint: endpoint, endpointDNSName: endpointDNSName)
        options.maxDuration = try seconds("--max-duration", maxDuration, 1...3600)
        options.idleTimeout = try seconds("--idle-timeout", idleTimeout, 1...Int(Int32.max))
        if let priority {
            guard let known = Priority(rawValue: priority) else {
                throw Failure(.usage, "--priority \(priority)", why: "expected interactive or normal")
            }
            options.priority = known
        }
        return options
    }

    /// A service limit of 3,600 s stands behind --max-duration (AWS's user guide, quotas).
    private func seconds(_ option: String, _ text: String?, _ range: ClosedRange<Int>) throws(Failure) -> Int? {
        guard let text else { return nil }
        guard let length = DurationText.parse(text), length.components.attoseconds == 0,
            let seconds = Int(exactly: length.components.seconds), range.contains(seconds)
        else {
            let limit = range.upperBound == 3600 ? ", from 1s to 1h" : ", at least 1s"
            throw Failure(.usage, "\(option) \(text)", why: "expected \(DurationText.expectation)\(limit)")
        }
        return seconds
    }

    /// No secret leaves the shell. The key's id does, and only where no profile is named: the daemon then refuses rather than
    /// use another account's keys. `AWS_PROFILE` beside keys does not count, as in the AWS CLI.
    private func callerEnvironment(_ environment: (String) -> String?) -> CallerEnvironment {
        func variable(_ name: String) -> String? { environment(name).flatMap { $0.isEmpty ? nil : $0 } }
        return CallerEnvironment(
            profile: variable("AWS_PROFILE"), region: variable("AWS_REGION"),
            defaultRegion: variable("AWS_DEFAULT_REGION"),
            accessKeyID: profile == nil ? variable("AWS_ACCESS_KEY_ID") : nil)
    }
}
