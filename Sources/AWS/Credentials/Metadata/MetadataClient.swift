import Basics
import Failures

/// The instance metadata service, version 2 only: a session token first, then the question (EC2 User Guide, "Use IMDSv2").
///
/// Proxies are never used: the answers are about this machine. Questions have a second each, since on a laptop nobody answers.
struct MetadataClient: Sendable {
    let call: CallContext

    enum Trouble: Error {
        /// Off, not there, or not on EC2: the source does not apply.
        case absent(String)
        /// It is there and refuses or fails.
        case broken(String)
    }

    /// The text at a path such as `/latest/meta-data/placement/region`.
    func get(_ path: String) async throws(Trouble) -> String {
        guard !call.environment.flag("AWS_EC2_METADATA_DISABLED") else {
            throw .absent("instance metadata is turned off by AWS_EC2_METADATA_DISABLED")
        }
        guard let base = endpoint else { throw .broken("AWS_EC2_METADATA_SERVICE_ENDPOINT is no URL") }
        let token = try await ask("PUT", base, "/latest/api/token", [("x-aws-ec2-metadata-token-ttl-seconds", "300")])
        guard HeaderText.flaw(of: token) == nil else { throw .broken("\(base.authority) answers with no token") }
        return try await ask("GET", base, path, [("x-aws-ec2-metadata-token", token)])
    }

    var endpoint: WebAddress? {
        let own = call.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] ?? call.profile["ec2_metadata_service_endpoint"]
        if let own { return WebAddress(own) }
        let mode =
            call.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"]
            ?? call.profile["ec2_metadata_service_endpoint_mode"]
        // botocore's older setting, which counts where the mode is not set (`resolve_imds_endpoint_mode`).
        let usesIPv6 = (call.environment["AWS_IMDS_USE_IPV6"] ?? call.profile["imds_use_ipv6"])?.lowercased() == "true"
        let host = mode.map { $0.lowercased() == "ipv6" } ?? usesIPv6 ? "fd00:ec2::254" : "169.254.169.254"
        return WebAddress(isHTTPS: false, host: host, port: nil, path: "/")
    }

    private var timeout: Duration {
        let seconds = call.environment["AWS_METADATA_SERVICE_TIMEOUT"] ?? call.profile["metadata_service_timeout"]
        return .seconds(max(1, min(60, seconds.flatMap { Int($0) } ?? 1)))
    }

    private var attempts: Int {
        let number =
            call.environment["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] ?? call.profile["metadata_service_num_attempts"]
        return max(1, min(10, number.flatMap { Int($0) } ?? 1))
    }

    private func ask(
        _ method: String, _ base: WebAddress, _ path: String, _ headers: [(String, String)]
    ) async throws(Trouble) -> String {
        let prefix = base.url.hasSuffix("/") ? String(base.url.dropLast()) : base.url
        let request = HTTPRequest(
            method: method, url: prefix + path, headers: headers, timeout: timeout, connectTimeout: timeout,
            purpose: "ask the instance metadata service")
        var last = Trouble.absent("nothing answers at \(base.authority)")
        for _ in 0..<attempts {
            do {
                let response = try await call.http.send(request)
                switch response.status {
                case 200: return response.text.trimmingWhitespace()
                case 404: throw Trouble.absent("\(base.authority) has nothing at \(path)")
                case 403: throw Trouble.absent("\(base.authority) is turned off for this instance (HTTP 403)")
                default: last = .broken("\(base.authority) answers HTTP \(response.status) to \(path)")
                }
            } catch let trouble as Trouble {
                throw trouble
            } catch let failure as Failure {
                // In a container the answer to PUT dies where the hop limit is 1: the timeout is all that shows.
                last =
                    failure.kind == .deadline
                    ? .absent("no answer from \(base.authority) in time (in a container: is the hop limit 2?)")
                    : .absent("\(base.authority): \(failure.why)")
            } catch {
                last = .absent("\(error)")
            }
        }
        throw last
    }
}
