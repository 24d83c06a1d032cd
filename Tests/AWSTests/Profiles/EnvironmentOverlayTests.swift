import Basics
import Failures
import Logging
import TestSupport
import Testing

@testable import AWS

/// Requests of several shells through one daemon.
@Suite struct EnvironmentOverlayTests {
    private let house: Household

    init() throws { house = try Household() }

    private func context(_ more: [String: String] = [:]) -> AWSContext {
        let services = house.services
        return AWSContext(
            environment: house.variables(more), clock: SigningClock { services.now }, logger: Logger(label: "test"))
    }

    private func keys(_ id: String) -> String { "[default]\naws_access_key_id = \(id)\naws_secret_access_key = s\n" }

    @Test("an overlay sets and removes variables, and an empty one is none")
    func applied() {
        let overlay = EnvironmentOverlay(values: ["A": "1"], unset: ["B"], withheld: ["C"], files: ["A"])
        let environment = overlay.applied(to: Environment(["B": "b", "C": "c", "D": "d"]))
        #expect(environment.values == ["A": "1", "D": "d"])
        #expect(environment.withheld == ["C"] && environment.visible == ["A"])
        #expect(EnvironmentOverlay().isEmpty && !overlay.isEmpty)
    }

    @Test("two shells with files of their own share neither credentials nor trust nor region")
    func nothingIsShared() async throws {
        let context = context(["AWS_ACCESS_KEY_ID": "AKIADAEMON", "AWS_SECRET_ACCESS_KEY": "s"])
        var ids: Set<String> = [try await context.credentials.credentials(profile: nil).accessKeyID]
        for shell in ["one", "two"] {
            let credentials = try house.home.write("\(shell)-credentials", keys("AKIA\(shell)"))
            let config = try house.home.write(
                "\(shell)-config", "[default]\nregion = \(shell)\nca_bundle = /\(shell)\n")
            let overlay = EnvironmentOverlay(
                values: ["AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_CONFIG_FILE": config],
                unset: ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
            let own = context.under(overlay)
            ids.insert(try await own.credentials.credentials(profile: nil).accessKeyID)
            #expect(try await own.region(named: nil, profile: nil) == shell)
            #expect(try await own.trustRoots(profile: nil) == "/\(shell)")
            // The same shell again finds what is known.
            #expect(context.under(overlay).credentials === own.credentials)
        }
        #expect(ids == ["AKIADAEMON", "AKIAone", "AKIAtwo"])
        #expect(context.under(nil).credentials === context.credentials)
        #expect(context.under(EnvironmentOverlay()).credentials === context.credentials)
    }

    @Test("contexts of shells that are not used any more make room")
    func bounded() {
        let contexts = DerivedContexts<AWSContext>()
        func made(_ number: Int) -> Bool {
            var isNew = false
            _ = contexts.context(EnvironmentOverlay(values: ["AWS_CA_BUNDLE": "\(number)"])) {
                isNew = true
                return context()
            }
            return isNew
        }
        #expect(made(0) && !made(0))
        for number in 1..<64 { #expect(made(number)) }
        #expect(!made(0))
        #expect(made(64))
        #expect(!made(0), "it was used a moment ago")
        #expect(made(1), "the least recently used one made room")
    }

    @Test(
        "a value that stays in the shell ends the chain where the AWS CLI would use it, and not before",
        arguments: [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CREDENTIAL_FILE",
            "BOTO_CONFIG", "AWS_ACCESS_KEY_ID",
        ])
    func withheld(name: String) async throws {
        let metadata = [
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": house.services.stub.url, "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(house.services.stub.url)/container",
        ]
        let overlay = EnvironmentOverlay(withheld: [name])
        // The daemon's own container and the instance's role would be other accounts.
        let failure = await #expect(throws: Failure.self) {
            try await context(metadata).under(overlay).credentials.credentials(profile: nil)
        }
        #expect(failure?.kind == .foreignCredentials)
        #expect(failure?.what == "\(name) of your shell is not the daemon's")
        // A profile with keys comes before all but the environment's keys.
        try house.home.write(".aws/credentials", keys("AKIAPROFILE"))
        let chain = context(metadata).under(overlay).credentials
        if name == "AWS_ACCESS_KEY_ID" {
            await #expect(throws: Failure.self) { try await chain.credentials(profile: nil) }
        } else {
            #expect(try await chain.credentials(profile: nil).accessKeyID == "AKIAPROFILE")
        }
        #expect(try await chain.credentials(profile: "default").accessKeyID == "AKIAPROFILE")
    }

    @Test("a role whose credential_source stays in the shell is refused")
    func credentialSource() async throws {
        try house.config(
            "[profile p]\nregion = eu-west-1\nrole_arn = arn:aws:iam::1:role/r\ncredential_source = EcsContainer\n")
        let context = context(["AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(house.services.stub.url)/container"])
        #expect(try await context.credentials.credentials(profile: "p").accessKeyID.hasPrefix("ASIA"))
        let overlay = EnvironmentOverlay(withheld: ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
        let failure = await #expect(throws: Failure.self) {
            try await context.under(overlay).credentials.credentials(profile: "p")
        }
        #expect(failure?.kind == .foreignCredentials)
    }

    @Test("a file that the shell sees and the daemon does not is an error, and no empty file")
    func hiddenFile() async throws {
        let more = [
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": house.services.stub.url, "AWS_EC2_METADATA_DISABLED": "false",
        ]
        for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
            let path = house.home("hidden-\(name)")
            let failure = await #expect(throws: Failure.self) {
                let overlay = EnvironmentOverlay(values: [name: path], files: [name])
                return try await context(more).under(overlay).credentials.credentials(profile: nil)
            }
            #expect(failure?.kind == .configuration && failure?.what == "eiced does not see \(path)")
            // In the shell it does not exist either: as in the AWS CLI it is empty.
            let absent = EnvironmentOverlay(values: [name: path])
            #expect(
                try await context(more).under(absent).credentials.credentials(profile: nil).accessKeyID.hasPrefix("A"))
        }
    }

    @Test("the metadata service's IPv6 address is used where either setting asks for it")
    func metadataMode() async throws {
        let context6 = context(["AWS_IMDS_USE_IPV6": "true", "AWS_EC2_METADATA_DISABLED": "false"])
        let call = try await context6.call(profile: nil)
        #expect(MetadataClient(call: call).endpoint?.host == "fd00:ec2::254")
        let mode = context(["AWS_IMDS_USE_IPV6": "true", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv4"])
        let other = try await mode.call(profile: nil)
        #expect(MetadataClient(call: other).endpoint?.host == "169.254.169.254")
    }
}
