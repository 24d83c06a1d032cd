import Basics
import Failures

/// Gives a service its credentials, so that the service does not know where they come from.
protocol CredentialProvider: Sendable {
    func credentials() async throws(Failure) -> Credentials
    /// AWS refused these: the next ``credentials()`` are others.
    /// - Throws: why there are no others.
    func replace(_ refused: Credentials, why: String) async throws(Failure)
}

/// Calls of AWS's query protocols (EC2, STS): form in, XML out, signed by headers.
///
/// Throttling, 5xx answers and lost connections are tried again with growing random pauses; a wrong clock is corrected once by
/// the answer's Date; credentials that AWS calls expired are read anew once.
struct QueryClient: Sendable {
    /// The credentials that sign calls.
    enum Authorization: Sendable {
        /// Credentials that are asked for again once AWS has refused them.
        case renewed(any CredentialProvider)
        case fixed(Credentials)
        case unsigned
    }

    let call: CallContext
    let service: Service
    let version: String
    let region: String
    let authorization: Authorization

    /// Parameters whose values nobody may see: what proves who one is.
    private static let secretParameters: Set = ["WebIdentityToken", "ExternalId"]

    struct Answer {
        let root: XMLNode
        /// Knows what the request had of secrets, which the answer may repeat.
        let sent: Redaction
    }

    /// `purpose` completes "cannot …".
    func call(
        _ action: String, _ parameters: [(String, String)], purpose: String
    ) async throws(Failure) -> Answer {
        let endpoint = try call.rules.endpoint(of: service, in: region)
        let body = PercentEncoding.form([("Action", action), ("Version", version)] + parameters)
        let secrets = parameters.filter { Self.secretParameters.contains($0.0) }.map(\.1)
        var excuses = Excuses()
        var attempt = 1
        while true {
            switch try await tryOnce(action, body, endpoint, purpose, secrets, &excuses) {
            case .answer(let answer): return answer
            case .again: continue
            case .later(let failure):
                try await RetryPolicy().pause(after: attempt, giving: failure)
                attempt += 1
            }
        }
    }

    /// What may be put right once in a call.
    private struct Excuses {
        var clock = true
        var credentials = true
    }

    private enum Outcome {
        case answer(Answer)
        /// Something was put right: at once.
        case again
        /// The service or the network may recover.
        case later(Failure)
    }

    private func tryOnce(
        _ action: String, _ body: [UInt8], _ endpoint: ServiceEndpoint, _ purpose: String, _ secrets: [String],
        _ excuses: inout Excuses
    ) async throws(Failure) -> Outcome {
        let credentials = try await credentials()
        let party = SigningClock.Party.service(endpoint.address.authority)
        let signedAt = call.clock.now(for: party)
        let response: HTTPResponse
        do throws(Failure) {
            response = try await send(body, to: endpoint, credentials, at: signedAt, purpose, secrets)
        } catch {
            guard RetryPolicy.isPassing(error) else { throw error }
            return .later(error)
        }
        if response.status == 200 {
            let root = try parse(response, of: action, purpose)
            if credentials != nil { call.clock.confirm(party) }
            return .answer(Answer(root: root, sent: response.sent))
        }
        let error = ServiceError(xml: response)
        let failure = error.failure("cannot \(purpose)", credentials: credentials)
        let serverTime = response.header("Date").flatMap { WallTime(httpDate: $0) }
        switch SignatureFlaw(error, signedAt: signedAt, serverTime: serverTime, credentials: credentials) {
        case .clock(let time) where excuses.clock && credentials != nil:
            excuses.clock = false
            switch call.clock.correct(by: time, from: party, call.logger) {
            case .learned, .known: return .again
            case .implausible, .contradicted: break
            }
        case .credentials where excuses.credentials:
            excuses.credentials = false
            guard case .renewed(let provider) = authorization, let credentials else { throw failure }
            try await provider.replace(credentials, why: error.summary)
            return .again
        default: break
        }
        switch error.classification {
        case .throttled, .unavailable: return .later(failure)
        default: throw failure
        }
    }

    private func credentials() async throws(Failure) -> Credentials? {
        switch authorization {
        case .renewed(let provider): try await provider.credentials()
        case .fixed(let credentials): credentials
        case .unsigned: nil
        }
    }

    private func send(
        _ body: [UInt8], to endpoint: ServiceEndpoint, _ credentials: Credentials?, at time: WallTime,
        _ purpose: String, _ secrets: [String]
    ) async throws(Failure) -> HTTPResponse {
        var headers = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
        let address = endpoint.address
        if let credentials {
            let signer = RequestSigner(credentials: credentials, region: endpoint.region, service: service.signingName)
            headers += signer.signedHeaders(
                method: "POST", host: address.authority, path: address.path, headers: headers, body: body,
                at: time)
        }
        return try await call.send(
            "POST", to: address, headers: headers, body: body, purpose: purpose, secrets: secrets)
    }

    /// The answer to `action`, whose root element is named after it (EC2 API Reference, "Query requests"; the AWS query
    /// protocol). A page of a proxy that is well-formed XML must not pass for an empty list.
    private func parse(_ response: HTTPResponse, of action: String, _ purpose: String) throws(Failure) -> XMLNode {
        let root: XMLNode
        do {
            root = try XMLNode.parse(response.body)
        } catch {
            throw ForeignAnswer.failure(purpose, "it is not XML (line \(error.line): \(error.reason))")
        }
        guard root.name == "\(action)Response" else {
            throw ForeignAnswer.failure(purpose, "its root element is \"\(ForeignText.excerpt(root.name, limit: 40))\"")
        }
        return root
    }
}
