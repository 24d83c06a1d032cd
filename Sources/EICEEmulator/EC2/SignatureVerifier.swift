import OpenSSL

/// The credentials that the emulator accepts.
struct Credentials: Equatable, Sendable {
    var accessKeyID: String
    var secretAccessKey: String
    /// With one, requests must carry it; without, none may.
    var sessionToken: String?

    /// Fresh ones, in the shape of AWS's.
    static func generated(withSessionToken: Bool = false) -> Credentials {
        Credentials(
            accessKeyID: (withSessionToken ? "ASIA" : "AKIA") + letters(16, of: "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
            secretAccessKey: letters(40, of: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
            sessionToken: withSessionToken
                ? letters(200, of: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") + "==" : nil)
    }

    private static func letters(_ count: Int, of alphabet: String) -> String {
        let alphabet = Array(alphabet.utf8)
        return String(decoding: SecureRandom.bytes(count).map { alphabet[Int($0) % alphabet.count] }, as: UTF8.self)
    }
}

/// Verifies AWS Signature Version 4 over a request as it was received, in the query (presigned) or in the
/// `Authorization` field.
///
/// Written from the service's side of
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>, and sharing no code with
/// eiced's signing, so that a mistake there does not verify itself here.
struct SignatureVerifier: Sendable {
    enum Problem: Error, Equatable, Sendable {
        /// There is no signature at all.
        case missing
        /// Parameters are missing, doubled or malformed.
        case incomplete(String)
        case unknownAccessKey
        /// The session token is missing, wrong, or not expected.
        case wrongToken
        /// Date, region or service of the credential scope are not those of this request and service.
        case wrongScope(String)
        case expired(String)
        /// Signed in the future: the client's clock is ahead.
        case notYetValid(String)
        case mismatch
    }

    /// What a good signature says.
    struct Scope: Equatable, Sendable {
        var accessKeyID: String
        var region: String
        var service: String
    }

    var credentials: Credentials

    /// The most that the clocks may differ.
    static let clockTolerance: Int64 = 300
    /// What the AWS CLI signs for an openTunnel URL, and the longest that the emulator accepts.
    static let longestPresignedLife: Int64 = 60

    /// Verifies a presigned request with an empty body.
    ///
    /// - Parameters:
    ///   - service: the one service it must be signed for.
    ///   - region: the region it must be signed for.
    ///   - now: seconds since 1970.
    func verifyPresigned(
        _ request: HTTPRequest, service: String, region: String, now: Int64
    ) -> Result<Scope, Problem> {
        guard let parameters = PercentCoding.parameters(request.query) else {
            return .failure(.incomplete("the query is not percent-encoded correctly"))
        }
        func one(_ name: String) -> String? {
            let found = parameters.filter { $0.name == name }
            return found.count == 1 ? found[0].value : nil
        }
        guard parameters.contains(where: { $0.name.hasPrefix("X-Amz-") }) else { return .failure(.missing) }
        guard one("X-Amz-Algorithm") == "AWS4-HMAC-SHA256" else {
            return .failure(.incomplete("X-Amz-Algorithm must be AWS4-HMAC-SHA256"))
        }
        guard let credential = one("X-Amz-Credential"), let date = one("X-Amz-Date"),
            let expires = one("X-Amz-Expires"), let signedHeaders = one("X-Amz-SignedHeaders"),
            let signature = one("X-Amz-Signature")
        else {
            return .failure(
                .incomplete(
                    "X-Amz-Credential, X-Amz-Date, X-Amz-Expires, X-Amz-SignedHeaders and X-Amz-Signature must be there once"
                ))
        }
        guard let signedAt = DateText.parse(date) else { return .failure(.incomplete("X-Amz-Date is malformed")) }
        guard let life = Int64(expires), (1...Self.longestPresignedLife).contains(life) else {
            return .failure(.incomplete("X-Amz-Expires must be between 1 and \(Self.longestPresignedLife)"))
        }
        let tokens = parameters.filter { $0.name == "X-Amz-Security-Token" }
        let query = parameters.filter { $0.name != "X-Amz-Signature" }
        let claim = Claim(
            credential: credential, date: date, signedAt: signedAt, signedHeaders: signedHeaders, signature: signature,
            tokens: tokens.map(\.value), query: query, payloadHash: Digest.hexadecimal(Digest.sha256([])),
            required: ["host"])
        return verify(claim, of: request, services: [service], region: region) {
            if now > signedAt + life {
                return .expired(
                    "Signature expired: \(date) is now earlier than \(DateText.basic(now - life)) (\(DateText.basic(now)) - \(life) sec.)"
                )
            }
            return tooEarly(signedAt, date, now)
        }
    }

    /// Verifies a request that is signed in its `Authorization` field, its body included.
    ///
    /// - Parameters:
    ///   - services: those it may be signed for.
    ///   - region: the region it must be signed for; nil takes any.
    ///   - now: seconds since 1970.
    func verifyHeader(
        _ request: HTTPRequest, services: Set<String>, region: String? = nil, now: Int64
    ) -> Result<Scope, Problem> {
        guard let authorization = request.value(of: "Authorization") else { return .failure(.missing) }
        let algorithm = "AWS4-HMAC-SHA256 "
        guard authorization.hasPrefix(algorithm), request.count(of: "Authorization") == 1 else {
            return .failure(.incomplete("Authorization must begin with AWS4-HMAC-SHA256"))
        }
        var parts: [String: String] = [:]
        for part in authorization.dropFirst(algorithm.count).split(separator: ",") {
            let pair = part.trimmingBlanks().split(separator: "=", maxSplits: 1)
            guard pair.count == 2, parts.updateValue(String(pair[1]), forKey: String(pair[0])) == nil else {
                return .failure(.incomplete("Authorization is malformed"))
            }
        }
        guard let credential = parts["Credential"], let signedHeaders = parts["SignedHeaders"],
            let signature = parts["Signature"], let date = request.value(of: "X-Amz-Date")
        else {
            return .failure(.incomplete("Authorization needs Credential, SignedHeaders, Signature and an X-Amz-Date"))
        }
        guard let signedAt = DateText.parse(date) else { return .failure(.incomplete("X-Amz-Date is malformed")) }
        guard let query = PercentCoding.parameters(request.query) else {
            return .failure(.incomplete("the query is not percent-encoded correctly"))
        }
        let bodyHash = Digest.hexadecimal(Digest.sha256(request.body))
        if let claimed = request.value(of: "X-Amz-Content-Sha256"), claimed != bodyHash { return .failure(.mismatch) }
        let token = request.value(of: "X-Amz-Security-Token")
        let claim = Claim(
            credential: credential, date: date, signedAt: signedAt, signedHeaders: signedHeaders, signature: signature,
            tokens: token.map { [$0] } ?? [], query: query, payloadHash: bodyHash,
            required: token == nil ? ["host", "x-amz-date"] : ["host", "x-amz-date", "x-amz-security-token"])
        return verify(claim, of: request, services: services, region: region) {
            if now > signedAt + Self.clockTolerance {
                return .expired(
                    "Signature expired: \(date) is now earlier than \(DateText.basic(now - Self.clockTolerance)) (\(DateText.basic(now)) - 5 min.)"
                )
            }
            return tooEarly(signedAt, date, now)
        }
    }

    // MARK: What both ways share

    private struct Claim {
        var credential: String
        var date: String
        var signedAt: Int64
        var signedHeaders: String
        var signature: String
        var tokens: [String]
        var query: [(name: String, value: String)]
        var payloadHash: String
        /// Fields that must be among the signed ones.
        var required: [String]
    }

    private func tooEarly(_ signedAt: Int64, _ date: String, _ now: Int64) -> Problem? {
        guard signedAt > now + Self.clockTolerance else { return nil }
        return .notYetValid(
            "Signature not yet current: \(date) is still later than \(DateText.basic(now + Self.clockTolerance)) (\(DateText.basic(now)) + 5 min.)"
        )
    }

    private func verify(
        _ claim: Claim, of request: HTTPRequest, services: Set<String>, region: String?, time: () -> Problem?
    ) -> Result<Scope, Problem> {
        let parts = claim.credential.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[4] == "aws4_request" else {
            return .failure(.incomplete("the credential must be KEY/DATE/REGION/SERVICE/aws4_request"))
        }
        guard Digest.constantTimeEqual(Array(parts[0].utf8), Array(credentials.accessKeyID.utf8)) else {
            return .failure(.unknownAccessKey)
        }
        guard parts[1] == claim.date.prefix(8) else {
            return .failure(.wrongScope("Credential should be scoped to the date of X-Amz-Date, not \(parts[1])"))
        }
        if let region, parts[2] != region {
            return .failure(.wrongScope("Credential should be scoped to a valid region: \(region), not \(parts[2])"))
        }
        guard services.contains(String(parts[3])) else {
            let expected = services.sorted().joined(separator: "' or '")
            return .failure(
                .wrongScope("Credential should be scoped to correct service: '\(expected)', not '\(parts[3])'"))
        }
        switch (credentials.sessionToken, claim.tokens.first) {
        case (nil, nil): break
        case (let expected?, let given?) where claim.tokens.count == 1:
            guard Digest.constantTimeEqual(Array(expected.utf8), Array(given.utf8)) else {
                return .failure(.wrongToken)
            }
        default: return .failure(.wrongToken)
        }
        if let problem = time() { return .failure(problem) }

        guard let headers = canonicalHeaders(claim, of: request) else {
            return .failure(
                .incomplete(
                    "the signed headers must be sorted, sent, and include \(claim.required.joined(separator: ", "))"))
        }
        let canonical = """
            \(request.method)
            \(Self.canonicalPath(request.path))
            \(Self.canonicalQuery(claim.query))
            \(headers)
            \(claim.signedHeaders)
            \(claim.payloadHash)
            """
        let scope = parts[1...].joined(separator: "/")
        let digest = Digest.hexadecimal(Digest.sha256(canonical.utf8))
        let toSign = "AWS4-HMAC-SHA256\n\(claim.date)\n\(scope)\n\(digest)"
        var key = Array("AWS4\(credentials.secretAccessKey)".utf8)
        for part in parts[1...] { key = Digest.hmacSHA256(key: key, message: part.utf8) }
        let expected = Digest.hexadecimal(Digest.hmacSHA256(key: key, message: toSign.utf8))
        guard Digest.constantTimeEqual(Array(expected.utf8), Array(claim.signature.utf8)) else {
            return .failure(.mismatch)
        }
        return .success(
            Scope(accessKeyID: String(parts[0]), region: String(parts[2]), service: String(parts[3])))
    }

    /// A line for each signed field; nil when one is not there, the list is not in order, or a required one is missing.
    private func canonicalHeaders(_ claim: Claim, of request: HTTPRequest) -> String? {
        let names = claim.signedHeaders.split(separator: ";", omittingEmptySubsequences: false).map(String.init)
        guard names == names.sorted(), Set(names).count == names.count, names.allSatisfy({ $0 == $0.lowercased() }),
            claim.required.allSatisfy(names.contains)
        else { return nil }
        var text = ""
        for name in names {
            guard let value = request.value(of: name) else { return nil }
            let words = value.split(separator: " ", omittingEmptySubsequences: true)
            text += "\(name):\(words.joined(separator: " "))\n"
        }
        return text
    }

    /// The path, encoded once more segment by segment, as every service but S3 wants it.
    private static func canonicalPath(_ path: Substring) -> String {
        path.isEmpty ? "/" : PercentCoding.encode(path.utf8, keepingSlash: true)
    }

    private static func canonicalQuery(_ parameters: [(name: String, value: String)]) -> String {
        parameters
            .map { (name: PercentCoding.encode($0.name.utf8), value: PercentCoding.encode($0.value.utf8)) }
            .sorted { Array($0.name.utf8) == Array($1.name.utf8) ? less($0.value, $1.value) : less($0.name, $1.name) }
            .map { "\($0.name)=\($0.value)" }
            .joined(separator: "&")
    }

    /// By code point, which for ASCII is by byte: not by any language's rules.
    private static func less(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }
}
