import Glibc
import Synchronization
import TestSupport

/// A person with a profile for each source of credentials, and the services behind them on one loopback port. All of them give the
/// emulator's keys, so that whoever gets credentials also gets a tunnel.
final class IdentityScene: Sendable {
    /// Beside these, the default identity is the container's.
    static let profiles = ["keys", "role", "web", "sso", "legacy", "process"]

    enum Mode: Sendable { case works, broken, hangs }

    private struct State {
        var mode = Mode.works
        /// Log-ins that IAM Identity Center takes.
        var tokens: Set<String> = []
        var answers: IdentityAnswers?
    }

    private final class Shared: Sendable {
        let state = Mutex(State())
    }

    let home: TemporaryDirectory
    let services: HTTPStub
    private let shared = Shared()

    /// What is secret beside the keys: each must be found nowhere.
    let planted: [String: String] = Dictionary(
        uniqueKeysWithValues: [
            "web identity token", "access token", "refresh token", "client secret", "container token", "fresh token",
            "next token", "legacy token", "proxy password", "helper chatter", "helper variable", "role's external id",
        ].enumerated().map { ($1, "planted\($0)\(UInt64.random(in: .min ... .max))tnalp") })

    func secret(_ name: String) -> String { planted[name] ?? "" }

    init() throws {
        home = try TemporaryDirectory("person")
        services = try HTTPStub { [shared] request in
            let state = shared.state.withLock { $0 }
            switch state.mode {
            case .hangs: return .silence
            // Services may repeat what they were sent.
            case .broken: return .error(400, repeating: request)
            case .works: break
            }
            if request.target.hasPrefix("/federation/"),
                !state.tokens.contains(request.header("x-amz-sso_bearer_token") ?? "")
            {
                return .init(
                    401, headers: [("x-amzn-ErrorType", "UnauthorizedException")],
                    #"{"message":"Session token not found or invalid"}"#)
            }
            return state.answers?.answer(request) ?? .init(500)
        }
        for folder in [".aws", ".aws/sso", ".aws/sso/cache"] { try home.makeDirectory(folder) }
        try home.write("jwt", secret("web identity token"))
    }

    /// What the daemon's environment needs beside the emulator's.
    var environment: [String: String?] {
        [
            "HOME": home.path, "AWS_ENDPOINT_URL_STS": services.url, "AWS_ENDPOINT_URL_SSO": services.url,
            "AWS_ENDPOINT_URL_SSO_OIDC": services.url,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(services.url)/container",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": secret("container token"),
            "AWS_ACCESS_KEY_ID": .none, "AWS_SECRET_ACCESS_KEY": .none, "AWS_SESSION_TOKEN": .none,
            "PLANTED_VARIABLE": secret("helper variable"),
        ]
    }

    /// Writes the profiles, once the emulator's keys are known.
    func moveIn(with keys: [String: String]) throws {
        let (id, key, token) = (
            keys["AWS_ACCESS_KEY_ID"] ?? "", keys["AWS_SECRET_ACCESS_KEY"] ?? "", keys["AWS_SESSION_TOKEN"] ?? ""
        )
        var answers = IdentityAnswers(
            accessKeyID: id, secretAccessKey: key, sessionToken: token,
            end: ("2099-01-01T00:00:00Z", 4_070_908_800))
        answers.freshToken = secret("fresh token")
        answers.nextRefreshToken = secret("next token")
        let fixed = answers
        shared.state.withLock { state in
            state.answers = fixed
            state.tokens = [secret("access token"), secret("fresh token"), secret("legacy token")]
        }
        let lines = "aws_access_key_id = \(id)\naws_secret_access_key = \(key)\naws_session_token = \(token)\n"
        try home.write(".aws/credentials", "[keys]\n\(lines)")
        let helper = try home.write(
            "helper.sh",
            """
            printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","SessionToken":"%s"}' '\(id)' '\(key)' '\(token)'
            """)
        let chatter = try home.write("chatter.sh", "echo '\(secret("helper chatter"))'")
        try home.write(
            ".aws/config",
            """
            [profile role]
            role_arn = arn:aws:iam::123456789012:role/r
            source_profile = keys
            external_id = \(secret("role's external id"))
            [profile web]
            role_arn = arn:aws:iam::123456789012:role/r
            web_identity_token_file = \(home("jwt"))
            [profile sso]
            sso_session = corp
            sso_account_id = 123456789012
            sso_role_name = r
            [sso-session corp]
            sso_region = eu-west-1
            sso_start_url = https://corp.example
            [profile legacy]
            sso_account_id = 123456789012
            sso_role_name = r
            sso_region = eu-west-1
            sso_start_url = https://legacy.example
            [profile process]
            credential_process = /bin/sh \(helper)
            [profile chatter]
            credential_process = /bin/sh \(chatter)
            [profile hanging]
            credential_process = /bin/sh -c 'sleep 600'
            """)
        // Near its end, so that it is refreshed.
        try logIn(ending: WallClock.text(after: 120))
        try home.write(
            ".aws/sso/cache/\(Self.legacyCache)",
            #"{"accessToken":"\#(secret("legacy token"))","expiresAt":"2099-01-01T00:00:00Z"}"#)
    }

    /// Adds a profile with the emulator's keys and more settings.
    func add(profile: String, _ settings: String) throws {
        let config = contents(of: home(".aws/config")) ?? ""
        let keys = (contents(of: home(".aws/credentials")) ?? "").replacing("[keys]\n", with: "")
        try home.write(".aws/config", "\(config)\n[profile \(profile)]\n\(keys)\(settings)\n")
    }

    /// As `aws sso login --profile sso` leaves it.
    func logIn(ending end: String = "2099-01-01T00:00:00Z") throws {
        try home.write(
            ".aws/sso/cache/\(Self.cache)",
            """
            {"startUrl":"https://corp.example","region":"eu-west-1","accessToken":"\(secret("access token"))",\
            "expiresAt":"\(end)","clientId":"client","clientSecret":"\(secret("client secret"))",\
            "registrationExpiresAt":"2099-01-01T00:00:00Z","refreshToken":"\(secret("refresh token"))"}
            """)
    }

    func logOut() { unlink(home(".aws/sso/cache/\(Self.cache)")) }

    func set(_ mode: Mode) { shared.state.withLock { $0.mode = mode } }

    /// IAM Identity Center takes these log-ins and no others.
    func accept(_ tokens: Set<String>) { shared.state.withLock { $0.tokens = tokens } }

    /// SHA-1 of "corp" and of "https://legacy.example".
    private static let cache = "ee0bfd2552fbd840c02cc48b6e823320543c450f.json"
    private static let legacyCache = "2a658bdd28256db3a272b687d6bad2cd81a72c31.json"
}

/// The wall clock, as files of the AWS CLI have it.
enum WallClock {
    static func text(after seconds: Int) -> String {
        var now = time(nil) + seconds
        var parts = tm()
        gmtime_r(&now, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(parts.tm_year + 1_900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T"
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}
