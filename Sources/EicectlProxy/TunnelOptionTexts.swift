import ControlProtocol
import Descriptors
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
    ///
    /// - Parameters:
    ///   - environment: the value of a variable; nil if it is not set.
    ///   - folder: what relative paths in variables are relative to.
    public func options(
        environment: @escaping (String) -> String?, folder: @escaping () -> String? = currentFolder
    ) throws(Failure) -> TunnelOptions {
        if endpointDNSName != nil && endpoint == nil {
            throw Failure(.usage, "--endpoint-dns without --endpoint", why: "the name belongs to an endpoint's id")
        }
        var options = try settings()
        var caller = try ShellVariables(variable: environment, folder: folder).caller()
        // A named profile turns the keys of the environment off (botocore's `create_credential_resolver`).
        if profile != nil { caller.accessKeyID = nil }
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
}
