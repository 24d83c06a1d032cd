/// What the services answer that credentials come from: STS, IAM Identity Center and its OIDC service, container and instance metadata
/// endpoints. In AWS's forms, for a stub on a loopback port.
public struct IdentityAnswers: Sendable {
    public var accessKeyID: String
    public var secretAccessKey: String
    public var sessionToken: String
    /// RFC 3339, and seconds since 1970.
    public var end: (text: String, seconds: Int64)
    /// What a refreshed log-in consists of.
    public var freshToken = "fresh"
    public var nextRefreshToken = "next"

    public init(accessKeyID: String, secretAccessKey: String, sessionToken: String, end: (text: String, seconds: Int64))
    {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
        self.end = end
    }

    public func answer(_ request: HTTPStub.Request) -> HTTPStub.Answer {
        switch request.target.prefix(while: { $0 != "?" }) {
        case "/":
            // STS: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
            let action =
                request.body.contains("Action=AssumeRoleWithWebIdentity&")
                ? "AssumeRoleWithWebIdentity" : "AssumeRole"
            return .init(
                200, headers: [("Content-Type", "text/xml")],
                """
                <\(action)Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><\(action)Result><Credentials>\
                <AccessKeyId>\(accessKeyID)</AccessKeyId><SecretAccessKey>\(secretAccessKey)</SecretAccessKey>\
                <SessionToken>\(sessionToken)</SessionToken><Expiration>\(end.text)</Expiration></Credentials>\
                </\(action)Result></\(action)Response>
                """)
        case "/federation/credentials":
            return .init(
                200,
                #"{"roleCredentials":{"accessKeyId":"\#(accessKeyID)","secretAccessKey":"\#(secretAccessKey)","sessionToken":"\#(sessionToken)","expiration":\#(end.seconds)000}}"#
            )
        case "/token":
            return .init(
                200,
                #"{"accessToken":"\#(freshToken)","expiresIn":28800,"refreshToken":"\#(nextRefreshToken)","tokenType":"Bearer"}"#
            )
        case "/latest/api/token": return .init(request.method == "PUT" ? 200 : 405, "v2")
        case "/latest/meta-data/iam/security-credentials/": return .init(200, "web-role")
        case "/latest/meta-data/placement/region": return .init(200, "eu-south-2")
        default:
            // Containers, helpers and the metadata service's role share one form.
            return .init(
                200,
                #"{"Version":1,"Code":"Success","AccessKeyId":"\#(accessKeyID)","SecretAccessKey":"\#(secretAccessKey)","Token":"\#(sessionToken)","Expiration":"\#(end.text)"}"#
            )
        }
    }
}
