/// The calls of EC2's and STS's Query APIs that finding an endpoint needs: a request in, a response out.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html>
struct EC2Service: Sendable {
    var inventory: Inventory
    var verifier: SignatureVerifier
    /// The most that one page holds, whatever a caller asks for; so that paging can be tested with few things.
    var pageSize = 1_000

    /// What is answered with an error document.
    struct ErrorAnswer: Error, Equatable, Sendable {
        var status = 400
        var code: String
        var message: String
    }

    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - requestID: what the answer carries as its request id.
    func answer(_ request: HTTPRequest, now: Int64, requestID: String) -> HTTPResponse {
        var response: HTTPResponse
        switch result(of: request, now: now, requestID: requestID) {
        case .success(let document): response = HTTPResponse(status: 200, body: document.document())
        case .failure(let error):
            let document = XMLElement(
                "Response",
                [
                    XMLElement(
                        "Errors",
                        [XMLElement("Error", [XMLElement("Code", error.code), XMLElement("Message", error.message)])]),
                    XMLElement("RequestID", requestID),
                ])
            response = HTTPResponse(status: error.status, body: document.document())
        }
        response.fields = [
            ("x-amzn-RequestId", requestID), ("Content-Type", "text/xml;charset=UTF-8"),
            ("Date", DateText.http(now)), ("Server", "AmazonEC2"),
        ]
        return response
    }

    private func result(
        of request: HTTPRequest, now: Int64, requestID: String
    ) -> Result<XMLElement, ErrorAnswer> {
        guard request.method == "POST" || request.method == "GET" else {
            return .failure(ErrorAnswer(status: 405, code: "MethodNotAllowed", message: "Use POST."))
        }
        let parameters = request.method == "POST" ? request.body[...] : Array(request.query.utf8)[...]
        guard let query = EC2Query(parameters), let action = query["Action"] else {
            return .failure(
                ErrorAnswer(code: "MissingAction", message: "The request must contain the parameter Action"))
        }
        let service = action == "GetCallerIdentity" ? "sts" : "ec2"
        let scope: SignatureVerifier.Scope
        switch verifier.verifyHeader(request, services: [service], now: now) {
        case .success(let good): scope = good
        case .failure(let problem): return .failure(Self.error(for: problem))
        }
        guard service == "sts" || inventory.regions.contains(scope.region) else {
            return .failure(
                ErrorAnswer(
                    status: 401, code: "AuthFailure",
                    message:
                        "Credential should be scoped to a region of the inventory, not '\(scope.region)'"))
        }
        do throws(ErrorAnswer) {
            switch action {
            case "DescribeInstances":
                return .success(try describeInstances(query, region: scope.region, requestID: requestID))
            case "DescribeInstanceConnectEndpoints":
                return .success(try describeEndpoints(query, region: scope.region, requestID: requestID))
            case "GetCallerIdentity": return .success(callerIdentity(requestID: requestID))
            default:
                throw ErrorAnswer(
                    code: "InvalidAction", message: "The action \(action) is not valid for this web service.")
            }
        } catch {
            return .failure(error)
        }
    }

    /// As EC2 words them: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.
    static func error(for problem: SignatureVerifier.Problem) -> ErrorAnswer {
        switch problem {
        case .missing:
            ErrorAnswer(
                status: 403, code: "MissingAuthenticationToken", message: "Request is missing Authentication Token")
        case .incomplete(let why): ErrorAnswer(status: 400, code: "IncompleteSignature", message: why)
        case .unknownAccessKey, .wrongToken:
            ErrorAnswer(
                status: 401, code: "AuthFailure",
                message: "AWS was not able to validate the provided access credentials")
        case .wrongScope(let why): ErrorAnswer(status: 403, code: "SignatureDoesNotMatch", message: why)
        case .expired: ErrorAnswer(status: 400, code: "RequestExpired", message: "Request has expired.")
        case .notYetValid(let why): ErrorAnswer(status: 403, code: "SignatureDoesNotMatch", message: why)
        case .mismatch:
            ErrorAnswer(
                status: 403, code: "SignatureDoesNotMatch",
                message:
                    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
            )
        }
    }

    private func callerIdentity(requestID: String) -> XMLElement {
        var document = XMLElement(
            "GetCallerIdentityResponse",
            [
                XMLElement(
                    "GetCallerIdentityResult",
                    [
                        XMLElement("Arn", inventory.userARN), XMLElement("UserId", "AIDAEMULATOR0000000001"),
                        XMLElement("Account", inventory.account),
                    ]),
                XMLElement("ResponseMetadata", [XMLElement("RequestId", requestID)]),
            ])
        document.attributes = " xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\""
        return document
    }

    // MARK: Pages

    /// One page of `all`, and the token for the next.
    ///
    /// - Parameter range: what MaxResults may be.
    func page<Item>(
        _ all: [Item], _ query: EC2Query, range: ClosedRange<Int>
    ) throws(ErrorAnswer) -> (items: ArraySlice<Item>, next: String?) {
        var size = pageSize
        if let text = query["MaxResults"] {
            guard let wanted = Int(text), range.contains(wanted) else {
                throw ErrorAnswer(
                    code: "InvalidParameterValue",
                    message:
                        "Value ( \(text) ) for parameter maxResults is invalid. Expecting a value between \(range.lowerBound) and \(range.upperBound)."
                )
            }
            size = min(size, wanted)
        }
        var start = 0
        if let token = query["NextToken"], !token.isEmpty {
            guard let position = Self.position(of: token), position <= all.count else {
                throw ErrorAnswer(code: "InvalidNextToken", message: "The specified next token is not valid.")
            }
            start = position
        }
        let end = min(start + size, all.count)
        return (all[start..<end], end < all.count ? Self.token(end) : nil)
    }

    /// Opaque to callers, with characters that must be percent-encoded, as EC2's tokens have.
    private static func token(_ position: Int) -> String { "emulated/page+\(position)==" }

    private static func position(of token: String) -> Int? {
        guard token.hasPrefix("emulated/page+"), token.hasSuffix("==") else { return nil }
        return Int(token.dropFirst("emulated/page+".count).dropLast(2)).flatMap { $0 >= 0 ? $0 : nil }
    }

    /// Those of `items` that every filter fits.
    ///
    /// - Parameter values: what an item has under a filter's name; nil for a name that is no filter.
    static func filter<Item>(
        _ items: [Item], by filters: [(name: String, values: [String])], values: (Item, String) -> [String]?
    ) throws(ErrorAnswer) -> [Item] {
        var result: [Item] = []
        for item in items {
            var fits = true
            for filter in filters {
                guard let found = values(item, filter.name) else { throw unknownFilter(filter.name) }
                fits =
                    fits
                    && found.contains { value in
                        filter.values.contains { EC2Query.matches(value, pattern: $0) }
                    }
            }
            if fits { result.append(item) }
        }
        return result
    }

    static func unknownFilter(_ name: String) -> ErrorAnswer {
        ErrorAnswer(code: "InvalidParameterValue", message: "The filter '\(name)' is invalid")
    }
}

extension Inventory {
    /// Who the emulator's credentials are.
    var userARN: String { "arn:aws:iam::\(account):user/emulator" }
}
