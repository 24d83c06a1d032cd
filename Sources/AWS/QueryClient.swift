import Failures

/// Calls of AWS's query protocols (EC2, STS): form in, XML out, signed by headers.
///
/// Throttling, 5xx answers and lost connections are tried again with growing random pauses; a wrong clock is corrected once by
/// the answer's Date; credentials that AWS calls expired are read anew once.
struct QueryClient: Sendable {
    /// With whose credentials calls are signed.
    enum Authorization: Sendable {
        case chain(CredentialChain, profile: String?)
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

    /// The root element of the answer. `purpose` completes "cannot …".
    func call(
        _ action: String, _ parameters: [(String, String)], purpose: String
    ) async throws(Failure) -> XMLNode {
        let address = try call.rules.endpoint(of: service, in: region).address
        let body = PercentEncoding.form([("Action", action), ("Version", version)] + parameters)
        let secrets = parameters.filter { Self.secretParameters.contains($0.0) }.map(\.1)
        var excuses = Excuses()
        var attempt = 1
        while true {
            switch try await tryOnce(body, address, purpose, secrets, &excuses) {
            case .answer(let root): return root
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
        case answer(XMLNode)
        /// Something was put right: at once.
        case again
        /// The service or the network may recover.
        case later(Failure)
    }

    private func tryOnce(
        _ body: [UInt8], _ address: WebAddress, _ purpose: String, _ secrets: [String], _ excuses: inout Excuses
    ) async throws(Failure) -> Outcome {
        let credentials = try await credentials()
        let signedAt = call.clock.now()
        let response: HTTPResponse
        do throws(Failure) {
            response = try await send(body, to: address, credentials, at: signedAt, purpose, secrets)
        } catch {
            guard RetryPolicy.isPassing(error) else { throw error }
            return .later(error)
        }
        if response.status == 200 { return .answer(try parse(response, purpose)) }
        let error = ServiceError(xml: response)
        let failure = error.failure("cannot \(purpose)", credentials: credentials)
        let serverTime = response.header("Date").flatMap { WallTime(httpDate: $0) }
        switch SignatureFlaw(error, signedAt: signedAt, serverTime: serverTime, credentials: credentials) {
        case .clock(let time) where excuses.clock && credentials != nil:
            excuses.clock = false
            call.clock.correct(by: time, call.logger)
            return .again
        case .credentials where excuses.credentials:
            excuses.credentials = false
            guard case .chain(let chain, let profile) = authorization, let credentials else { throw failure }
            _ = try await chain.replace(credentials, profile: profile, why: error.summary)
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
        case .chain(let chain, let profile): try await chain.credentials(profile: profile)
        case .fixed(let credentials): credentials
        case .unsigned: nil
        }
    }

    private func send(
        _ body: [UInt8], to address: WebAddress, _ credentials: Credentials?, at time: WallTime, _ purpose: String,
        _ secrets: [String]
    ) async throws(Failure) -> HTTPResponse {
        var headers = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
        if let credentials {
            let signer = RequestSigner(credentials: credentials, region: region, service: service.signingName)
            headers += signer.signedHeaders(
                method: "POST", host: address.authority, path: address.path, headers: headers, body: body,
                at: time)
        }
        return try await call.send(
            "POST", to: address, headers: headers, body: body, purpose: purpose, secrets: secrets)
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
}
