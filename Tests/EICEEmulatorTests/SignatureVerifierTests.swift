import Testing

@testable import EICEEmulator

/// The good requests here were signed by botocore 1.44, AWS's own signer, at 2026-11-22 13:00:00 UTC.
@Suite struct SignatureVerifierTests {
    static let now: Int64 = 1_795_352_400
    static let credentials = Credentials(
        accessKeyID: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    static let token = "FwoGZXIvYXdz+token/with=specials=="

    static let presigned =
        "/openTunnel?instanceConnectEndpointId=eice-0123&remotePort=22&privateIpAddress=fd00%3A%3A5&maxTunnelDuration=3600&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Feu-west-1%2Fec2-instance-connect%2Faws4_request&X-Amz-Date=20261122T130000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=d13af0c2dc150a2caf8b11d3b025428ad0f5b48996c5d8daf645a2dc328c1f59"
    static let presignedWithToken =
        "/openTunnel?instanceConnectEndpointId=eice-0123&remotePort=22&privateIpAddress=fd00%3A%3A5&maxTunnelDuration=3600&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Feu-west-1%2Fec2-instance-connect%2Faws4_request&X-Amz-Date=20261122T130000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Security-Token=FwoGZXIvYXdz%2Btoken%2Fwith%3Dspecials%3D%3D&X-Amz-Signature=6102e318880c38e256761fbf0a1d253687b218cd80a0bc336731f198a9363ae4"

    static func get(_ target: String, host: String = "eice-0123.ec2-instance-connect-endpoint.eu-west-1.amazonaws.com")
        -> HTTPRequest
    {
        HTTPRequest(method: "GET", target: target, fields: [.init(name: "Host", value: host)])
    }

    static func post(token: String? = nil, signature: String, body: String? = nil) -> HTTPRequest {
        let names = token == nil ? "content-type;host;x-amz-date" : "content-type;host;x-amz-date;x-amz-security-token"
        var fields: [HTTPRequest.Field] = [
            .init(name: "content-type", value: "application/x-www-form-urlencoded;   charset=utf-8"),
            .init(name: "HOST", value: "127.0.0.1:8080"), .init(name: "x-amz-date", value: "20261122T130000Z"),
            .init(
                name: "Authorization",
                value:
                    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/eu-west-1/ec2/aws4_request, SignedHeaders=\(names), Signature=\(signature)"
            ),
        ]
        if let token { fields.append(.init(name: "X-Amz-Security-Token", value: token)) }
        let good = "Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-0123456789abcdef0"
        return HTTPRequest(method: "POST", target: "/", fields: fields, body: Array((body ?? good).utf8))
    }

    private func presigned(
        _ request: HTTPRequest, token: String? = nil, service: String = "ec2-instance-connect",
        region: String = "eu-west-1", now: Int64 = now
    ) -> Result<SignatureVerifier.Scope, SignatureVerifier.Problem> {
        var credentials = Self.credentials
        credentials.sessionToken = token
        return SignatureVerifier(credentials: credentials).verifyPresigned(
            request, service: service, region: region, now: now)
    }

    private func header(_ request: HTTPRequest, token: String? = nil, now: Int64 = now)
        -> Result<SignatureVerifier.Scope, SignatureVerifier.Problem>
    {
        var credentials = Self.credentials
        credentials.sessionToken = token
        return SignatureVerifier(credentials: credentials).verifyHeader(request, services: ["ec2"], now: now)
    }

    private func problem<Value>(of result: Result<Value, SignatureVerifier.Problem>) -> SignatureVerifier.Problem? {
        if case .failure(let problem) = result { problem } else { nil }
    }

    @Test func aPresignedURLOfBotocoreIsGood() throws {
        let scope = try presigned(Self.get(Self.presigned)).get()
        #expect(scope.region == "eu-west-1" && scope.service == "ec2-instance-connect")
        _ = try presigned(Self.get(Self.presignedWithToken), token: Self.token).get()
    }

    @Test func theOrderOfTheParametersDoesNotMatter() throws {
        let parts = Self.presigned.dropFirst("/openTunnel?".count).split(separator: "&").reversed()
        _ = try presigned(Self.get("/openTunnel?" + parts.joined(separator: "&"))).get()
    }

    @Test func aHeaderSignatureOfBotocoreIsGood() throws {
        let plain = "02282a2110c8bb040975728b3ff6276e7963fae8cf11ed58a164702fb0e889fc"
        _ = try header(Self.post(signature: plain)).get()
        let temporary = "0052e68cc76b64eef982e6bf5ce4e1c298a44516e07ffb335f0c630c722098f4"
        _ = try header(Self.post(token: Self.token, signature: temporary), token: Self.token).get()
    }

    @Test(arguments: [
        ("remotePort=22", "remotePort=23"), ("/openTunnel", "/opentunnel"), ("fd00%3A%3A5", "fd00%3A%3A6"),
        ("maxTunnelDuration=3600&", ""), ("f59", "f58"), ("X-Amz-Expires=60", "X-Amz-Expires=59"),
    ])
    func whateverIsChangedBreaksThePresignedURL(what: String, with: String) {
        let changed = Self.presigned.replacing(what, with: with)
        #expect(problem(of: presigned(Self.get(changed))) == .mismatch)
    }

    @Test func anotherHostBreaksThePresignedURL() {
        #expect(problem(of: presigned(Self.get(Self.presigned, host: "evil.example.com"))) == .mismatch)
        var post = Self.get(Self.presigned)
        post.method = "POST"
        #expect(problem(of: presigned(post)) == .mismatch)
    }

    @Test func anotherBodyBreaksTheHeaderSignature() {
        let signature = "02282a2110c8bb040975728b3ff6276e7963fae8cf11ed58a164702fb0e889fc"
        #expect(problem(of: header(Self.post(signature: signature, body: "Action=Other"))) == .mismatch)
    }

    @Test func aPresignedURLLivesSixtySeconds() throws {
        _ = try presigned(Self.get(Self.presigned), now: Self.now + 60).get()
        _ = try presigned(Self.get(Self.presigned), now: Self.now - 300).get()
        guard case .expired = problem(of: presigned(Self.get(Self.presigned), now: Self.now + 61)) else {
            Issue.record("a URL must expire")
            return
        }
        guard case .notYetValid = problem(of: presigned(Self.get(Self.presigned), now: Self.now - 301)) else {
            Issue.record("a URL from the future must be refused")
            return
        }
        let long = Self.presigned.replacing("X-Amz-Expires=60", with: "X-Amz-Expires=61")
        guard case .incomplete = problem(of: presigned(Self.get(long))) else {
            Issue.record("a URL may not live longer than a minute")
            return
        }
    }

    @Test func aHeaderSignatureLivesFiveMinutes() throws {
        let request = Self.post(signature: "02282a2110c8bb040975728b3ff6276e7963fae8cf11ed58a164702fb0e889fc")
        _ = try header(request, now: Self.now + 300).get()
        guard case .expired = problem(of: header(request, now: Self.now + 301)) else {
            Issue.record("a signature must expire")
            return
        }
    }

    @Test func regionServiceAndKeyMustBeTheRightOnes() {
        guard case .wrongScope = problem(of: presigned(Self.get(Self.presigned), region: "eu-central-1")),
            case .wrongScope = problem(of: presigned(Self.get(Self.presigned), service: "ec2"))
        else {
            Issue.record("the scope must be checked")
            return
        }
        let other = Self.presigned.replacing("AKIAIOSFODNN7EXAMPLE", with: "AKIAIOSFODNN7EXAMPLF")
        #expect(problem(of: presigned(Self.get(other))) == .unknownAccessKey)
        let dated = Self.presigned.replacing("%2F20261122%2F", with: "%2F20261121%2F")
        guard case .wrongScope = problem(of: presigned(Self.get(dated))) else {
            Issue.record("the scope's date must be the signature's")
            return
        }
    }

    @Test func theSessionTokenMustBeTheConfiguredOne() {
        #expect(problem(of: presigned(Self.get(Self.presigned), token: Self.token)) == .wrongToken)
        #expect(problem(of: presigned(Self.get(Self.presignedWithToken))) == .wrongToken)
        #expect(problem(of: presigned(Self.get(Self.presignedWithToken), token: "another")) == .wrongToken)
    }

    @Test func unsignedAndHalfSignedRequestsAreToldApart() {
        #expect(problem(of: presigned(Self.get("/openTunnel?remotePort=22"))) == .missing)
        let unsigned = Self.presigned.replacing("&X-Amz-Signature=", with: "&X-Amz-Sig=")
        let doubled = Self.presigned + "&X-Amz-Date=20261122T130000Z"
        let md5 = Self.presigned.replacing("HMAC-SHA256", with: "HMAC-MD5")
        let noHost = Self.presigned.replacing("SignedHeaders=host", with: "SignedHeaders=user-agent")
        for target in [unsigned, doubled, md5, noHost, "/openTunnel?X-Amz-Date=%zz"] {
            guard case .incomplete = problem(of: presigned(Self.get(target))) else {
                Issue.record("\(target) must be incomplete")
                continue
            }
        }
    }

    @Test func datesAreReadStrictly() {
        #expect(DateText.parse("20261122T130000Z") == Self.now)
        #expect(DateText.basic(Self.now) == "20261122T130000Z")
        #expect(DateText.http(Self.now) == "Sun, 22 Nov 2026 13:00:00 GMT")
        #expect(DateText.parse("20240229T000000Z") == 1_709_164_800)
        for text in ["20260229T000000Z", "20261122T240000Z", "2026-11-22T13:00Z", "20261322T130000Z", ""] {
            #expect(DateText.parse(text) == nil, "\(text)")
        }
    }
}
