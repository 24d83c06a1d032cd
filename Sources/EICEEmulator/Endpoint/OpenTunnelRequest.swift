import Failures
import SocketIO

/// What a signed request for a tunnel asks for, after every check that the service makes before it answers 101.
struct OpenTunnelRequest: Equatable, Sendable {
    var endpoint: Endpoint
    /// The private address, as the client wrote it.
    var address: String
    var port: UInt16
    /// In seconds.
    var maxDuration: Int

    static let path = "/openTunnel"
    static let longestDuration = 3_600

    /// Checks a request in the service's order: the signature, then the parameters.
    ///
    /// - Parameter now: seconds since 1970.
    static func check(
        _ request: HTTPRequest, inventory: Inventory, verifier: SignatureVerifier, now: Int64
    ) -> Result<OpenTunnelRequest, TunnelRefusal> {
        guard request.path == path else { return .failure(.unknownPath) }
        let parameters = PercentCoding.parameters(request.query) ?? []
        func one(_ name: String) -> String? {
            let found = parameters.filter { $0.name == name }
            return found.count == 1 ? found[0].value : nil
        }
        let endpoint = one("instanceConnectEndpointId").flatMap(inventory.endpoint)
        let region = endpoint.map(inventory.region) ?? inventory.region
        switch verifier.verifyPresigned(request, service: "ec2-instance-connect", region: region, now: now) {
        case .success: break
        case .failure(let problem): return .failure(TunnelRefusal(problem))
        }

        guard let endpoint, isServed(request, by: endpoint, region: region) else {
            return .failure(.invalid("InstanceConnectEndpointId", "Specify an endpoint that is served under this name"))
        }
        guard endpoint.isUsable else {
            return .failure(.invalid("InstanceConnectEndpointId", "The endpoint is in the state \(endpoint.state)"))
        }
        guard let port = one("remotePort").flatMap(UInt16.init), port == 22 || port == 3_389 else {
            return .failure(.invalid("RemotePort", "Specify either 22 or 3389 as the RemotePort"))
        }
        guard let address = one("privateIpAddress"), SocketAddress(ip: address, port: port) != nil else {
            return .failure(.invalid("PrivateIpAddress", "Specify a private IP address"))
        }
        var duration = longestDuration
        if parameters.contains(where: { $0.name == "maxTunnelDuration" }) {
            guard let wanted = one("maxTunnelDuration").flatMap({ Int($0) }), (1...longestDuration).contains(wanted)
            else {
                return .failure(.invalid("MaxTunnelDuration", "Specify a value between 1 and \(longestDuration)"))
            }
            duration = wanted
        }
        if let most = endpoint.policyMaxDuration, duration > most {
            return .failure(.accessDenied(user: inventory.userARN, resource: inventory.arn(of: endpoint)))
        }
        return .success(OpenTunnelRequest(endpoint: endpoint, address: address, port: port, maxDuration: duration))
    }

    /// Whether the Host field is one of the endpoint's names, or this host's own.
    private static func isServed(_ request: HTTPRequest, by endpoint: Endpoint, region: String) -> Bool {
        guard request.count(of: "Host") == 1, let host = request.value(of: "Host")?.lowercased() else { return false }
        let name = host.hasPrefix("[") ? host.prefix { $0 != "]" }.dropFirst() : host.prefix { $0 != ":" }
        return endpoint.allDNSNames(in: region).contains { $0.lowercased() == name }
            || ["localhost", "127.0.0.1", "::1"].contains(name)
    }
}

/// An upgrade that is refused, with the service's JSON body.
///
/// Two bodies are the service's own, as users have shown them: `InvalidParameter` for the remote port, and
/// `AccessDeniedException`. Everything else here is our guess in the style of AWS's JSON services, since none of it is
/// published; `docs/emulator.md` lists which.
struct TunnelRefusal: Error, Equatable, Sendable {
    var status: Int
    var errorCode: String
    var message: String

    var body: [UInt8] {
        Array(#"{"ErrorCode":"\#(Self.escape(errorCode))","Message":"\#(Self.escape(message))"}"#.utf8)
    }

    static func invalid(_ parameter: String, _ advice: String) -> TunnelRefusal {
        TunnelRefusal(
            status: 400, errorCode: "InvalidParameter",
            message: "The specified \(parameter) is not valid. \(advice) and retry your request.")
    }

    static func accessDenied(user: String, resource: String) -> TunnelRefusal {
        TunnelRefusal(
            status: 403, errorCode: "AccessDeniedException",
            message:
                "User: \(user) is not authorized to perform: ec2-instance-connect:OpenTunnel on resource: \(resource)")
    }

    static func full(_ endpoint: String, limit: Int) -> TunnelRefusal {
        TunnelRefusal(
            status: 429, errorCode: "ServiceQuotaExceededException",
            message: "The maximum number of concurrent connections (\(limit)) has been reached for \(endpoint).")
    }

    static let unknownPath = TunnelRefusal(
        status: 404, errorCode: "UnknownOperationException", message: "The requested operation is not recognized.")

    init(status: Int, errorCode: String, message: String) {
        self.status = status
        self.errorCode = errorCode
        self.message = message
    }

    init(_ problem: SignatureVerifier.Problem) {
        status = 403
        switch problem {
        case .missing:
            errorCode = "MissingAuthenticationTokenException"
            message = "Missing Authentication Token"
        case .incomplete(let why):
            errorCode = "IncompleteSignatureException"
            message = "\(why)."
        case .unknownAccessKey, .wrongToken:
            errorCode = "UnrecognizedClientException"
            message = "The security token included in the request is invalid."
        case .wrongScope(let why):
            errorCode = "InvalidSignatureException"
            message = "\(why)."
        case .expired(let why), .notYetValid(let why):
            errorCode = "InvalidSignatureException"
            message = why
        case .mismatch:
            errorCode = "InvalidSignatureException"
            message =
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
        }
    }

    /// JSON's escapes (RFC 8259, section 7): messages carry what a client sent.
    private static func escape(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 32:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
