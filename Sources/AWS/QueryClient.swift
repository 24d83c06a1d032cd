import Failures

/// Calls of AWS's query protocols (EC2, STS): form in, XML out, signed by headers.
///
/// Throttling, 5xx answers and lost connections are tried again with growing random pauses; a wrong clock is corrected once by
/// the answer's Date; credentials that AWS calls expired are read anew once.
public struct QueryClient: Sendable {
    public let context: AWSContext
    public let service: Service
    public let version: String
    public let profile: String?
    public let region: String

    /// The retries of AWS's "standard" mode: three attempts in all.
    private static let attempts = 3

    public init(context: AWSContext, service: Service, version: String, profile: String?, region: String) {
        self.context = context
        self.service = service
        self.version = version
        self.profile = profile
        self.region = region
    }

    /// The root element of the answer. `purpose` completes "cannot …".
    public func call(
        _ action: String, _ parameters: [(String, String)], purpose: String
    ) async throws(Failure) -> XMLNode {
        let config = try context.files.load()
        let rules = EndpointRules(
            environment: context.environment, config: config, profile: try context.profile(profile))
        let endpoint = try rules.endpoint(of: service, in: region)
        let body = PercentEncoding.form([("Action", action), ("Version", version)] + parameters)
        var excuses = Excuses()
        var attempt = 1
        while true {
            let failure: Failure
            switch try await tryOnce(body, endpoint, purpose, &excuses) {
            case .answer(let root): return root
            case .again: continue
            case .later(let reason): failure = reason
            }
            guard attempt < Self.attempts else { throw failure }
            try await pause(before: attempt, giving: failure)
            attempt += 1
        }
    }

    /// What may be put right once in a call.
    private struct Excuses {
        var clock = true
        var credentials = true
    }

    private enum Outcome {
        case answer(XMLNode)
        /// Something was put right: at once.
        case again
        /// The service or the network may recover.
        case later(Failure)
    }

    private func tryOnce(
        _ body: [UInt8], _ endpoint: ServiceEndpoint, _ purpose: String, _ excuses: inout Excuses
    ) async throws(Failure) -> Outcome {
        let credentials = try await context.credentials.credentials(profile: profile)
        let response: HTTPResponse
        do throws(Failure) {
            response = try await send(body, to: endpoint, credentials, purpose)
        } catch {
            guard error.kind == .connectionLost else { throw error }
            return .later(error)
        }
        if response.status == 200 { return .answer(try parse(response, purpose)) }
        let error = ServiceError(xml: response)
        let failure = error.failure("cannot \(purpose)", credentials: credentials)
        switch error.classification {
        case .clockSkew where excuses.clock && correctClock(response):
            excuses.clock = false
            return .again
        case .expiredCredentials where excuses.credentials:
            excuses.credentials = false
            await context.credentials.forget(profile: profile)
            guard try await context.credentials.credentials(profile: profile) != credentials else { throw failure }
            return .again
        case .throttled, .unavailable: return .later(failure)
        default: throw failure
        }
    }

    private func send(
        _ body: [UInt8], to endpoint: ServiceEndpoint, _ credentials: Credentials, _ purpose: String
    ) async throws(Failure) -> HTTPResponse {
        let signer = RequestSigner(credentials: credentials, region: region, service: service.signingName)
        let address = endpoint.address
        let type = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
        let signed = signer.signedHeaders(
            method: "POST", host: address.authority, path: address.path, headers: type, body: body,
            at: context.clock.now())
        return try await context.http.send(
            HTTPRequest(
                method: "POST", url: address.url, headers: type + signed, body: body,
                proxy: context.proxies.proxy(
                    forHost: address.host, port: address.effectivePort, isHTTPS: address.isHTTPS),
                trustRoots: try context.trustRoots(profile: profile), purpose: purpose))
    }

    private func parse(_ response: HTTPResponse, _ purpose: String) throws(Failure) -> XMLNode {
        do {
            return try XMLNode.parse(response.body)
        } catch {
            throw Failure(
                .protocolMismatch, "cannot \(purpose)",
                why: "the answer of \(service.signingName) is no XML (line \(error.line): \(error.reason))",
                hint: "is something else listening at the service's address, a captive portal perhaps?")
        }
    }

    private func correctClock(_ response: HTTPResponse) -> Bool {
        guard let text = response.header("Date"), let time = WallTime(httpDate: text),
            context.clock.learn(serverTime: time)
        else { return false }
        context.logger.warning(
            "this machine's clock is \(abs(context.clock.correction)) s off: signing with AWS's time instead")
        return true
    }

    /// A random part of a pause that doubles with each attempt, so that many clients do not come back together.
    private func pause(before attempt: Int, giving failure: Failure) async throws(Failure) {
        let milliseconds = Int64.random(in: 50...(200 << Int64(attempt)))
        do { try await Task.sleep(for: .milliseconds(milliseconds)) } catch { throw failure }
    }
}
