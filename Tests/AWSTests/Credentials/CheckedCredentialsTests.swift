import Basics
import Failures
import Logging
import TestSupport
import Testing

@testable import AWS

/// Tokens that are empty, and keys that no header can carry, from every source.
@Suite struct CheckedCredentialsTests {
    enum Source: String, CaseIterable, Sendable {
        case environment, credentialsFile, configFile, process, container, metadata, sso, role, webIdentity, mfaCache
    }

    /// Keys as one source gives them; a nil token is left out of what it gives.
    private struct Stage {
        let house: Household
        var variables: [String: String] = [:]
        var profile: String? = "p"
        /// Keeps the service alive.
        private let stub: HTTPStub

        /// - Parameter token: as JSON, with its quotation marks.
        init(_ source: Source, id: String = "AKIAMINE", secret: String = "s", token: String?) throws {
            house = try Household()
            let end = house.services.now.advanced(by: 3_600)
            let text = token.map { $0.filter { $0 != "\"" } }
            func json(_ name: String) -> String {
                let token = token.map { #","\#(name)":\#($0)"# } ?? ""
                return
                    #"{"Version":1,"Code":"Success","AccessKeyId":"\#(id)","SecretAccessKey":"\#(secret)"\#(token),"Expiration":"\#(end)"}"#
            }
            let credentials =
                "<Credentials><AccessKeyId>\(id)</AccessKeyId><SecretAccessKey>\(secret)</SecretAccessKey>"
                + "\(text.map { "<SessionToken>\($0)</SessionToken>" } ?? "")<Expiration>\(end)</Expiration></Credentials>"
            let containers = json("Token")
            let portal =
                #"{"roleCredentials":{"accessKeyId":"\#(id)","secretAccessKey":"\#(secret)"\#(token.map { #","sessionToken":\#($0)"# } ?? ""),"expiration":\#(end.secondsSinceEpoch)000}}"#
            stub = try HTTPStub { request in
                switch request.target.prefix(while: { $0 != "?" }) {
                case "/":
                    let action = source == .role ? "AssumeRole" : "AssumeRoleWithWebIdentity"
                    return .init(200, "<\(action)Response>\(credentials)</\(action)Response>")
                case "/federation/credentials": return .init(200, portal)
                case "/latest/api/token": return .init(200, "v2")
                case "/latest/meta-data/iam/security-credentials/": return .init(200, "web-role")
                default: return .init(200, containers)
                }
            }
            for service in ["STS", "SSO"] { variables["AWS_ENDPOINT_URL_\(service)"] = stub.url }
            let keys =
                "aws_access_key_id = \(id)\naws_secret_access_key = \(secret)\n"
                + (text.map { "aws_session_token = \($0)\n" } ?? "")
            switch source {
            case .environment:
                profile = nil
                variables["AWS_ACCESS_KEY_ID"] = id
                variables["AWS_SECRET_ACCESS_KEY"] = secret
                variables["AWS_SESSION_TOKEN"] = text
            case .credentialsFile: try house.home.write(".aws/credentials", "[p]\n\(keys)")
            case .configFile: try house.config("[profile p]\n\(keys)")
            case .process:
                let path = try house.home.write("keys", json("SessionToken"))
                try house.config("[profile p]\ncredential_process = cat \(path)")
            case .container:
                profile = nil
                variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "\(stub.url)/creds"
            case .metadata:
                profile = nil
                variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = stub.url
                variables["AWS_EC2_METADATA_DISABLED"] = "false"
                variables["AWS_METADATA_SERVICE_TIMEOUT"] = "60"
            case .sso:
                try house.config(SSOTests.config)
                try house.token("corp", #""accessToken":"bearer","expiresAt":"\#(end)""#)
            case .role:
                try house.config(
                    "[profile p]\nrole_arn = arn:a\nsource_profile = q\n[profile q]\naws_access_key_id = K\naws_secret_access_key = s"
                )
            case .webIdentity:
                let path = try house.home.write("token", "jwt")
                try house.config("[profile p]\nrole_arn = arn:a\nweb_identity_token_file = \(path)")
            case .mfaCache:
                let file =
                    "[profile p]\nrole_arn = arn:a\nmfa_serial = arn:m\nsource_profile = q\n[profile q]\naws_access_key_id = K\naws_secret_access_key = s"
                try house.config(file)
                let config = SharedConfig(
                    config: try ProfileFile(parsing: Array(file.utf8)), configPath: "config", credentials: nil,
                    credentialsPath: "credentials")
                let name = try #require(try RoleSettings(try config.profile("p"))).cacheName
                try house.home.write(".aws/cli/cache/\(name)", #"{"Credentials":\#(json("SessionToken"))}"#)
            }
        }

        func credentials() async throws -> Credentials {
            defer { withExtendedLifetime(stub) {} }
            return try await house.chain(variables).credentials(profile: profile)
        }
    }

    private static let emptyTokens: [String?] = [nil, "\"\"", "null", "\" \"", "\"null\""]

    @Test("an empty session token is none, from every source", arguments: Source.allCases, emptyTokens)
    func emptyToken(source: Source, token: String?) async throws {
        let credentials = try await Stage(source, token: token).credentials()
        #expect(credentials.accessKeyID == "AKIAMINE")
        #expect(credentials.sessionToken == nil)
        let signer = RequestSigner(credentials: credentials, region: "r", service: "ec2")
        let time = WallTime(secondsSinceEpoch: 0)
        let headers = signer.signedHeaders(method: "GET", host: "h", path: "/", at: time)
        #expect(!headers.contains { $0.0 == "X-Amz-Security-Token" })
        let query = signer.presignedQuery(host: "h", path: "/", parameters: [], lifetime: 60, at: time)
        #expect(!query.contains("X-Amz-Security-Token"))
    }

    @Test("a session token is kept as the source gives it", arguments: Source.allCases)
    func wholeToken(source: Source) async throws {
        #expect(try await Stage(source, token: "\"IQoJb3JpZ2lu+/=\"").credentials().sessionToken == "IQoJb3JpZ2lu+/=")
    }

    @Test(
        "keys that no header can carry are refused with their source and without their value",
        arguments: Source.allCases,
        [
            ("AKIAMINE", "SECRET\\nX-Evil: 1", "\"t\"", "the secret access key contains a line feed"),
            ("AKIA MINE", "SECRET", "\"t\"", "the access key id contains a blank"),
            ("AKIAMINE", "SECRET", "\"SECRET\\r\"", "the session token contains a line feed"),
            ("AKIAMINE", "SECRET", "\"SECRET\\tSECRET\"", "the session token contains a blank"),
            ("AKIAMINE", "SECRET\\u0001", "\"t\"", "the secret access key contains a control character"),
            ("AKIAMINÉ", "SECRET", "\"t\"", "the access key id contains a character that is not ASCII"),
        ])
    func unusableKeys(source: Source, keys: (id: String, secret: String, token: String, why: String)) async throws {
        let isJSON = ![.environment, .credentialsFile, .configFile, .role, .webIdentity].contains(source)
        func written(_ text: String) -> String {
            guard !isJSON else { return text }
            // A value of AWS's files continues on an indented line; blanks around values belong to no value there.
            let lineFeed = [.credentialsFile, .configFile].contains(source) ? "\n  " : "\n"
            return text.replacing("\\n", with: lineFeed).replacing("\\r", with: "\(lineFeed)x").replacing(
                "\\t", with: "\t"
            )
            .replacing("\\u0001", with: "\u{7F}")
        }
        let id = written(keys.id)
        let stage = try Stage(source, id: id, secret: written(keys.secret), token: written(keys.token))
        let failure = try #require(await #expect(throws: Failure.self) { try await stage.credentials() })
        #expect(failure.kind == .noCredentials, "\(failure)")
        #expect(failure.what.hasPrefix("cannot use the credentials from "), "\(failure)")
        #expect(failure.why == keys.why, "\(failure)")
        #expect(!"\(failure)".contains("SECRET") && !"\(failure)".contains(keys.id), "\(failure)")
    }

    @Test("a role is not assumed with keys that no header can carry")
    func unusableSourceOfARole() async throws {
        let house = try Household()
        try house.config(
            "[profile p]\nrole_arn = arn:a\nsource_profile = q\n[profile q]\naws_access_key_id = K\naws_secret_access_key = a\n  b"
        )
        let failure = try await house.failure("p")
        #expect(failure.why == "the secret access key contains a line feed")
        #expect(failure.what.contains("profile q"))
        #expect(house.services.stub.requests.isEmpty)
        try house.config("[profile p]\nrole_arn = arn:a\ncredential_source = Environment")
        let variables = ["AWS_ACCESS_KEY_ID": "K", "AWS_SECRET_ACCESS_KEY": "s\r\nX: y"]
        #expect(try await house.failure("p", variables).what == "cannot use the credentials from environment")
        #expect(house.services.stub.requests.isEmpty)
    }

    @Test("a log-in whose token no header can carry is not sent", arguments: ["a b", "a\\nb", "é"])
    func unusableLogin(token: String) async throws {
        let house = try Household()
        try house.config(SSOTests.config)
        try house.token(
            "corp", #""accessToken":"\#(token)","expiresAt":"\#(house.services.now.advanced(by: 3_600))""#)
        #expect(try await house.failure("p").kind == .needsLogin)
        #expect(house.services.stub.requests.isEmpty)
    }

    @Test(
        "a container's token with a character that no header can carry is not sent",
        arguments: ["a\nb", "Basic é", "a\u{1}"])
    func unusableContainerToken(token: String) async throws {
        let house = try Household()
        let failure = try await house.failure(
            nil,
            [
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(house.services.stub.url)/creds",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
            ])
        #expect(failure.what == "cannot send the container's authorization token")
        #expect(house.services.stub.requests.isEmpty)
    }

    @Test(
        "no request leaves with a control character in a header",
        arguments: ["a\nb", "a\r\nX-Evil: 1", "a\u{0}", "\u{7F}"])
    func controlCharacters(value: String) async throws {
        let stub = try HTTPStub { _ in .init() }
        let request = HTTPRequest(url: stub.url, headers: [("X-Test", value)], purpose: "test")
        let failure = await #expect(throws: Failure.self) { try await HTTPClient().send(request) }
        #expect(failure?.why == "the header X-Test has a control character")
        #expect(stub.requests.isEmpty)
    }
}
