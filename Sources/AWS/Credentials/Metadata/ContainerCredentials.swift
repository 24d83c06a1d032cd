import Basics
import Failures

/// Credentials that ECS, EKS Pod Identity and the like serve over HTTP to their containers:
/// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`, with `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` or
/// `…_TOKEN` (AWS SDKs and Tools Reference Guide, "Container credential provider").
public struct ContainerCredentials: CredentialSource {
    public let name = "container"
    public let isLocal = true
    /// Plain HTTP is allowed to these and to loopback addresses: the token must not cross a network in the clear.
    private static let allowedHosts = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost"]

    public init() {}

    public func credentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        let environment = context.environment
        try environment.checkWithheld([
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ])
        let url: String
        if let relative = environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] {
            url = "http://169.254.170.2\(relative.hasPrefix("/") ? relative : "/\(relative)")"
        } else if let full = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
            url = full
        } else {
            return nil
        }
        try Self.check(url)
        var headers = [("Accept", "application/json")]
        if let token = try await Self.token(environment) { headers.append(("Authorization", token)) }
        let purpose = "get the container's credentials"
        let policy = RetryPolicy(attempts: 3, firstPause: .milliseconds(400))
        let request = HTTPRequest(
            url: url, headers: headers, timeout: .seconds(2), connectTimeout: .seconds(2), purpose: purpose)
        let response: HTTPResponse
        do throws(Failure) {
            response = try await policy.run { () throws(Failure) in
                let response = try await context.call.http.send(request)
                guard response.status >= 500 || response.status == 429 else { return response }
                throw Failure(.serviceUnavailable, "cannot \(purpose)", why: Self.summary(response))
            }
        } catch {
            // It was asked more than once, and it is not across a network: what is wrong will not pass by itself.
            let isFaulty = [.serviceUnavailable, .deadline].contains(error.kind) && !Task.isCancelled
            throw isFaulty ? Failure(.helperFailed, error.what, why: error.why, hint: error.hint) : error
        }
        guard response.status == 200 else {
            throw Failure(.helperFailed, "cannot \(purpose)", why: Self.summary(response))
        }
        guard let document = CredentialDocument(response.body) else {
            throw Failure(.helperFailed, "cannot \(purpose)", why: "the answer is no JSON object with credentials")
        }
        switch document.credentials(
            origin: "the container's role", renewal: "check the task's or the pod's role", mayOutliveEnd: true)
        {
        case .success(let credentials): return credentials
        case .failure(let missing): throw Failure(.helperFailed, "cannot \(purpose)", why: missing.what)
        }
    }

    /// An error answer has a code and a message; a body of any other form is not shown, since it may hold credentials.
    private static func summary(_ response: HTTPResponse) -> String {
        let document = CredentialDocument(response.body)
        let text = [document?.code, document?.message].compactMap { $0 }.joined(separator: ": ")
        return Redaction.none.text("HTTP \(response.status) \(text)", limit: 300)
    }

    static func check(_ url: String) throws(Failure) {
        let variable = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
        // A query may be part of it, which an address of a service has not.
        let bare = String(url.prefix { $0 != "?" })
        guard let address = WebAddress(bare) else {
            throw Failure(.configuration, "\(variable) of the daemon's environment is no http or https URL")
        }
        if address.isHTTPS || allowedHosts.contains(address.host) { return }
        if let ip = IPAddress(address.host), ip.isLoopback { return }
        throw Failure(
            .configuration, "\(variable) names the host \(address.host)",
            why: "without TLS only loopback addresses and \(allowedHosts.joined(separator: ", ")) are allowed")
    }

    private static func token(_ environment: Environment) async throws(Failure) -> String? {
        var token = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        if let path = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] {
            guard let bytes = try await LocalFile.read(path, limit: 64 << 10) else {
                throw Failure(.noCredentials, "the container's token file \(path) does not exist")
            }
            token = String(decoding: bytes, as: UTF8.self)
        }
        guard let token else { return nil }
        // A blank separates the scheme: "Basic …".
        for word in token.split(separator: " ", omittingEmptySubsequences: false) {
            guard !word.isEmpty, let flaw = HeaderText.flaw(of: String(word)) else { continue }
            throw Failure(.configuration, "cannot send the container's authorization token", why: "it \(flaw)")
        }
        return token
    }
}
