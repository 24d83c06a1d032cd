import AWS
import Basics
import ControlProtocol
import Failures
import Testing
import Tunnels

@testable import Daemon

/// What a shell's variables and the daemon's own come to. A shell is written as its environment; what `eicectl` sends of it is
/// made here as `EicectlProxy` makes it.
@Suite struct ShellEnvironmentTests {
    private typealias Variables = [String: String]

    /// A daemon that has a value for every variable.
    private static let full = Dictionary(
        uniqueKeysWithValues: AWSVariable.all.filter { $0.name.last != "*" }.map {
            ($0.name, $0.isPath ? "/daemon/\($0.name)" : "daemon")
        })

    private func sent(_ shell: Variables) -> CallerEnvironment {
        let variables = shell.filter { name, _ in
            AWSVariable.named(name).map { $0.isSent && !CallerEnvironment.hasField($0) } ?? false
        }
        return CallerEnvironment(
            profile: shell["AWS_PROFILE"] ?? shell["AWS_DEFAULT_PROFILE"], region: shell["AWS_REGION"],
            defaultRegion: shell["AWS_DEFAULT_REGION"], accessKeyID: shell["AWS_ACCESS_KEY_ID"],
            variables: variables.isEmpty ? nil : variables)
    }

    private func environment(_ shell: Variables, profile: String? = nil, own: Variables) -> Environment {
        let overlay = ShellEnvironment(sent(shell), profile: profile, own: Environment(own)).overlay
        return overlay?.applied(to: Environment(own)) ?? Environment(own)
    }

    @Test("a shell that says nothing, or the same as the daemon, leaves the daemon's environment as it is")
    func nothingNew() {
        #expect(ShellEnvironment(CallerEnvironment(), profile: nil, own: Environment(Self.full)).overlay == nil)
        // A file that the daemon cannot read is refused wherever it is named.
        let own = Self.full.filter { AWSVariable.named($0.key)?.treatment != .unreadable }
        let shell = ShellEnvironment(sent(own), profile: nil, own: Environment(own))
        #expect(shell.overlay == nil && shell.profile == nil && shell.namesIdentity)
    }

    @Test("a path that the daemon writes otherwise is the same path")
    func samePath() {
        let own = Environment(["HOME": "/home/me", "AWS_CONFIG_FILE": "~/config", "AWS_CA_BUNDLE": "$HOME/ca.pem"])
        let shell = sent(["AWS_CONFIG_FILE": "/home/me/config", "AWS_CA_BUNDLE": "/home/me/ca.pem"])
        #expect(ShellEnvironment(shell, profile: nil, own: own).overlay == nil)
    }

    @Test("a variable alone counts, or is withheld, against a daemon that has other values, and one that has none")
    func eachVariableAlone() {
        for own in [Self.full, [:]] {
            for variable in AWSVariable.all where variable.isSent && !CallerEnvironment.hasField(variable) {
                let found = environment([variable.name: "/shell"], own: own)
                if variable.treatment == .travels {
                    #expect(found[variable.name] == "/shell", "\(variable.name)")
                } else if variable.decides {
                    #expect(found[variable.name] == nil && found.withheld == [variable.name], "\(variable.name)")
                }
            }
        }
    }

    @Test("a shell that names an identity gets nothing of the daemon's identity")
    func nothingLeaks() {
        let deciders = AWSVariable.all.filter { $0.decides && $0.isSent && $0.group != .keys && $0.group != .profile }
        #expect(deciders.count >= 8)
        for variable in deciders {
            let found = environment([variable.name: "/shell"], own: Self.full)
            for other in AWSVariable.all where other.group?.isIdentity == true && other != variable {
                #expect(found[other.name] == nil, "\(other.name) of the daemon beside \(variable.name) of the shell")
            }
        }
        // What says nothing of an identity leaves it alone.
        let quiet = environment(["AWS_CA_BUNDLE": "/shell", "AWS_EC2_METADATA_DISABLED": "true"], own: Self.full)
        #expect(quiet["AWS_ACCESS_KEY_ID"] == "daemon" && quiet["AWS_SECRET_ACCESS_KEY"] == "daemon")
        #expect(quiet["AWS_CA_BUNDLE"] == "/shell")
    }

    @Test("variables that count together are replaced together")
    func groups() {
        let services = environment(["AWS_ENDPOINT_URL": "http://shell"], own: Self.full)
        #expect(services["AWS_ENDPOINT_URL"] == "http://shell")
        for name in ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_STS", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] {
            #expect(services[name] == nil, "\(name)")
        }
        #expect(services["AWS_ACCESS_KEY_ID"] == "daemon")
        let files = environment(["AWS_CONFIG_FILE": "/shell"], own: Self.full)
        #expect(files["AWS_SHARED_CREDENTIALS_FILE"] == nil)
        let role = environment(
            ["AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn"],
            own: ["AWS_ROLE_SESSION_NAME": "daemon", "AWS_ROLE_ARN": "daemon"])
        #expect(role["AWS_ROLE_ARN"] == "arn" && role["AWS_ROLE_SESSION_NAME"] == nil)
    }

    @Test("keys that are the daemon's own stay, with their secret, beside what else the shell says")
    func sameKeys() {
        let own = ["AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "daemon"]
        let shell = ["AWS_ACCESS_KEY_ID": "AKIA", "AWS_PROFILE": "shell", "AWS_CONFIG_FILE": "/shell"]
        let found = environment(shell, own: own)
        #expect(found["AWS_ACCESS_KEY_ID"] == "AKIA" && found["AWS_SECRET_ACCESS_KEY"] == "s")
        // The keys come first, and the profile has the region and more.
        #expect(found["AWS_PROFILE"] == "shell" && found["AWS_CONFIG_FILE"] == "/shell")
        #expect(ShellEnvironment(sent(shell), profile: nil, own: Environment(own)).profile == nil)
    }

    @Test("web identity comes before a profile that the shell names, as in the AWS CLI")
    func webIdentityBesideAProfile() {
        let shell = ["AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn", "AWS_DEFAULT_PROFILE": "p"]
        let meaning = ShellEnvironment(sent(shell), profile: nil, own: Environment([:]))
        #expect(meaning.profile == nil && meaning.overlay?.values["AWS_PROFILE"] == "p")
        #expect(meaning.overlay?.values["AWS_WEB_IDENTITY_TOKEN_FILE"] == "/token")
    }

    @Test("a named profile turns keys and web identity of the shell off, and nothing else")
    func namedProfile() {
        let shell = [
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn", "AWS_PROFILE": "other",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/x", "AWS_CONFIG_FILE": "/shell",
        ]
        let overlay = ShellEnvironment(sent(shell), profile: "p", own: Environment([:])).overlay
        #expect(overlay?.values == ["AWS_CONFIG_FILE": "/shell"])
        // Where the profile has no credentials the AWS CLI asks the container.
        #expect(overlay?.withheld == ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
        // Keys of the daemon are no part of a profile in the shell's files.
        #expect(overlay?.unset.contains("AWS_ACCESS_KEY_ID") == true)
        #expect(ShellEnvironment(sent(["AWS_PROFILE": "p"]), profile: nil, own: Environment(Self.full)).overlay == nil)
    }

    @Test("a container's token file tells one container from another")
    func containerTokenFile() {
        let uri = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"]
        let own = uri.merging(["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/daemon"]) { $1 }
        #expect(environment(own, own: own).withheld.isEmpty)
        for token in [["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/shell"], [:]] {
            let found = environment(uri.merging(token) { $1 }, own: own)
            #expect(found.withheld.contains("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
            #expect(found["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == nil)
        }
    }

    @Test("variables that are secret, or that the table does not have, are not taken from a client")
    func notTaken() {
        let names = AWSVariable.all.filter { !$0.isSent }.map(\.name) + ["PATH", "LD_PRELOAD", "AWS_ENDPOINT_URL_S3"]
        let variables = Dictionary(uniqueKeysWithValues: names.map { ($0, "x") })
        let caller = CallerEnvironment(variables: variables)
        #expect(ShellEnvironment(caller, profile: nil, own: Environment([:])).overlay == nil)
    }

    // MARK: Requests

    private func route(
        _ shell: Variables, profile: String? = nil, own: Variables = [:], configured: String? = nil
    ) throws -> RequestTranslation.Account {
        var configuration = Configuration()
        configuration.defaults.tunnel.profile = configured
        return try RequestTranslation(configuration: configuration, environment: Environment(own))
            .account(TunnelOptions(profile: profile, environment: sent(shell)))
    }

    @Test("a shell that names an identity counts for more than the configuration's profile")
    func configuredProfile() throws {
        #expect(try route([:], configured: "configured").profile == "configured")
        #expect(try route(["AWS_CA_BUNDLE": "/x"], configured: "configured").profile == "configured")
        #expect(try route(["AWS_CONFIG_FILE": "/x"], configured: "configured").profile == "configured")
        let web = try route(
            ["AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn"], configured: "configured")
        #expect(web.profile == nil && web.environment?.values["AWS_ROLE_ARN"] == "arn")
        let container = try route(["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1"], configured: "configured")
        #expect(container.profile == nil && container.environment?.withheld.isEmpty == false)
        #expect(throws: FailureOfKind(.foreignCredentials)) {
            try FailureOfKind.of { try route(["AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"], configured: "configured") }
        }
        let keys = ["AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"]
        #expect(try route(keys, own: keys, configured: "configured").profile == nil)
    }

    @Test("set reads a profile as the shell does that names it, and keeps the forward's variables otherwise")
    func set() throws {
        let translation = RequestTranslation(configuration: Configuration(), environment: Environment([:]))
        var old = try ForwardSpecification.sample("web", bare: true)
        old.route.environment = EnvironmentOverlay(values: ["AWS_CA_BUNDLE": "/old"])
        func changed(_ options: TunnelOptions, unset: [ForwardSetParameters.Setting] = []) throws -> EnvironmentOverlay?
        {
            try translation.changed(old, ForwardSetParameters(forward: "web", options: options, unset: unset))
                .route.environment
        }
        let shell = CallerEnvironment(variables: ["AWS_CONFIG_FILE": "/shell"])
        #expect(try changed(TunnelOptions(environment: shell)) == old.route.environment)
        #expect(try changed(TunnelOptions(profile: "p", environment: shell))?.values == ["AWS_CONFIG_FILE": "/shell"])
        #expect(try changed(TunnelOptions(profile: "p", environment: CallerEnvironment(variables: [:]))) == nil)
        // An older eicectl says nothing of its shell.
        #expect(try changed(TunnelOptions(profile: "p")) == old.route.environment)
        #expect(try changed(TunnelOptions(), unset: [.environment]) == nil)
    }
}
