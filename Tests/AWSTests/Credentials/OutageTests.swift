import Basics
import Failures
import Logging
import Synchronization
import TestSupport
import Testing

@testable import AWS

/// Credentials of instances and containers past their end: the service decides whether they still serve ("static
/// stability", as in botocore and the AWS SDKs).
@Suite struct OutageTests {
    enum Source: String, CaseIterable, Sendable { case metadata, container }

    /// An instance's or a container's service, its clock, and EC2.
    private final class Scene: Sendable {
        private struct State {
            var now = WallTime(secondsSinceEpoch: 1_700_000_000)
            /// Seconds from now to the end of what the service gives.
            var life: Int64 = 3_600
            var key = "ASIA1"
            var isBroken = false
            /// Nil: EC2 accepts everything.
            var refusal: String?
        }

        private final class Shared: Sendable {
            let state = Mutex(State())
        }

        let stub: HTTPStub
        let context: AWSContext
        private let shared: Shared

        init(_ source: Source) throws {
            let shared = Shared()
            self.shared = shared
            stub = try HTTPStub { request in
                let state = shared.state.withLock { $0 }
                if request.body.contains("Action=DescribeInstances") {
                    return state.refusal.map { .init(400, EC2Tests.error($0, "The token is over.")) }
                        ?? .init(200, EC2Tests.instances(EC2Tests.instance))
                }
                if request.target == "/latest/api/token" { return .init(200, "v2") }
                if request.target.hasSuffix("security-credentials/") { return .init(200, "web-role") }
                guard !state.isBroken else { return .init(400, #"{"Code":"Down","Message":"try later"}"#) }
                let end = state.now.advanced(by: state.life)
                return .init(
                    200,
                    #"{"Code":"Success","AccessKeyId":"\#(state.key)","SecretAccessKey":"s","Token":"t","Expiration":"\#(end)"}"#
                )
            }
            var variables = [
                "AWS_ENDPOINT_URL_EC2": stub.url, "AWS_CONFIG_FILE": "/nonexistent",
                "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            ]
            switch source {
            case .metadata:
                variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = stub.url
                variables["AWS_METADATA_SERVICE_TIMEOUT"] = "60"
            case .container: variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "\(stub.url)/creds"
            }
            context = AWSContext(
                environment: Environment(variables), clock: SigningClock { shared.state.withLock { $0.now } },
                logger: Logger(label: "test"))
        }

        func advance(_ seconds: Int64) { shared.state.withLock { $0.now = $0.now.advanced(by: seconds) } }
        func give(_ key: String, life: Int64) {
            shared.state.withLock {
                $0.isBroken = false
                $0.key = key
                $0.life = life
            }
        }
        func fail() { shared.state.withLock { $0.isBroken = true } }
        func refuse(_ code: String?) { shared.state.withLock { $0.refusal = code } }

        func key() async throws -> String { try await context.credentials.credentials(profile: nil).accessKeyID }
        func describe() async throws {
            _ = try await EC2(context: context, profile: nil, region: "eu-west-1").describeInstances(
                purpose: "look up web")
        }
        /// How often keys were asked for.
        var questions: Int {
            stub.requests.count { $0.target.hasSuffix("/web-role") || $0.target.hasSuffix("/creds") }
        }
    }

    @Test("credentials that arrive past their end are used", arguments: Source.allCases)
    func pastTheirEnd(source: Source) async throws {
        let scene = try Scene(source)
        scene.give("ASIA1", life: -600)
        #expect(try await scene.key() == "ASIA1")
        try await scene.describe()
        // Their source is not asked with each use …
        scene.advance(CredentialChain.extensions.lowerBound - 1)
        let questions = scene.questions
        #expect(try await scene.key() == "ASIA1")
        #expect(scene.questions == questions)
        // … but again within ten minutes.
        scene.give("ASIA2", life: 3_600)
        scene.advance(CredentialChain.extensions.upperBound - CredentialChain.extensions.lowerBound + 1)
        #expect(try await scene.key() == "ASIA2")
        #expect(scene.questions > questions)
    }

    @Test("a renewal that fails after their end leaves credentials in use", arguments: Source.allCases)
    func renewalFails(source: Source) async throws {
        let scene = try Scene(source)
        #expect(try await scene.key() == "ASIA1")
        scene.fail()
        scene.advance(7_200)
        #expect(try await scene.key() == "ASIA1")
        let questions = scene.questions
        #expect(try await scene.key() == "ASIA1")
        #expect(scene.questions == questions)
        scene.advance(CredentialChain.extensions.upperBound)
        #expect(try await scene.key() == "ASIA1")
        #expect(scene.questions > questions)
        scene.give("ASIA2", life: 3_600)
        scene.advance(CredentialChain.extensions.upperBound)
        #expect(try await scene.key() == "ASIA2")
    }

    @Test("newer credentials are not left for older ones", arguments: Source.allCases)
    func olderOnes(source: Source) async throws {
        let scene = try Scene(source)
        #expect(try await scene.key() == "ASIA1")
        scene.give("ASIA0", life: -7_200)
        scene.advance(3_601)
        #expect(try await scene.key() == "ASIA1")
    }

    @Test(
        "what the service says about credentials past their end is told with their source", arguments: Source.allCases)
    func theServiceRefuses(source: Source) async throws {
        let scene = try Scene(source)
        scene.give("ASIA1", life: -600)
        scene.refuse("ExpiredToken")
        let same = try #require(await #expect(throws: Failure.self) { try await scene.describe() })
        #expect(same.kind == .expiredCredentials)
        #expect(same.what.contains(source == .metadata ? "the role of this instance" : "the container's role"))
        #expect(same.why.contains("ExpiredToken: The token is over."))
        // The same while the source fails, which explains less.
        scene.advance(120)
        scene.refuse(nil)
        try await scene.describe()
        scene.fail()
        scene.refuse("ExpiredToken")
        let failing = try #require(await #expect(throws: Failure.self) { try await scene.describe() })
        #expect(failing.kind == .expiredCredentials)
        #expect(failing.why.contains("ExpiredToken: The token is over."))
        #expect(failing.why.contains("HTTP 400"))
        // New ones end it at once.
        scene.give("ASIA2", life: 3_600)
        scene.refuse(nil)
        try await scene.describe()
        #expect(try await scene.key() == "ASIA2")
    }

    @Test("a role is assumed with an instance's credentials past their end")
    func roleOfAnInstance() async throws {
        let house = try Household()
        try house.config("[profile p]\nrole_arn = arn:a\ncredential_source = Ec2InstanceMetadata")
        let now = house.services.now
        let stub = try HTTPStub { request in
            IdentityAnswers(
                accessKeyID: "ASIAOLD", secretAccessKey: "s", sessionToken: "t", end: ("\(now.advanced(by: -60))", 0)
            ).answer(request)
        }
        let more = [
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": stub.url, "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_METADATA_SERVICE_TIMEOUT": "60",
        ]
        let credentials = try await house.chain(more).credentials(profile: "p")
        #expect(credentials.sessionToken == "t" && !credentials.mayOutliveEnd)
        #expect(house.services.stub.requests[0].header("authorization")?.contains("ASIAOLD/") == true)
    }

    @Test(
        "a role is assumed with the last credentials of an instance whose service fails", arguments: [404, 500, 200])
    func roleDuringAnOutage(status: Int) async throws {
        let house = try Household()
        try house.config("[profile p]\nrole_arn = arn:a\ncredential_source = Ec2InstanceMetadata")
        let isBroken = Atomic(false)
        let now = house.services.now
        let stub = try HTTPStub { request in
            guard !isBroken.load(ordering: .relaxed) else { return .init(status, "<html>Sign in</html>") }
            return IdentityAnswers(
                accessKeyID: "ASIAOLD", secretAccessKey: "s", sessionToken: "t", end: ("\(now.advanced(by: 3_600))", 0)
            ).answer(request)
        }
        let chain = house.chain([
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": stub.url, "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_METADATA_SERVICE_TIMEOUT": "60",
        ])
        let first = try await chain.credentials(profile: "p")
        isBroken.store(true, ordering: .relaxed)
        house.services.advance(7_200)
        #expect(try await chain.credentials(profile: "p") != first)
        let last = try #require(house.services.stub.requests.last)
        #expect(last.header("authorization")?.contains("ASIAOLD/") == true)
        // Where none were known there is nothing to fall back to.
        await #expect(throws: Failure.self) {
            try await house.chain([
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": stub.url, "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_METADATA_SERVICE_TIMEOUT": "60",
            ]).credentials(profile: "p")
        }
    }

    @Test("the last credentials of one shell's container are not used for another shell's")
    func rolesOfTwoShells() async throws {
        let house = try Household()
        try house.config("[profile p]\nrole_arn = arn:a\ncredential_source = EcsContainer")
        let failing = try HTTPStub { _ in .init(400, #"{"Code":"Down"}"#) }
        let sources = CredentialChain.standardSources
        let mine = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(house.services.stub.url)/creds"]
        let other = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(failing.url)/creds"]
        _ = try await house.chain(mine, sources: sources).credentials(profile: "p")
        let failure = await #expect(throws: Failure.self) {
            try await house.chain(other, sources: sources).credentials(profile: "p")
        }
        #expect(failure?.kind == .helperFailed)
    }

    @Test("credentials of a program are not used past their end")
    func otherSources() async throws {
        let house = try Household()
        let path = try house.home.write(
            "keys",
            #"{"Version":1,"AccessKeyId":"ASIA","SecretAccessKey":"s","Expiration":"\#(house.services.now.advanced(by: -1))"}"#
        )
        try house.config("[profile p]\ncredential_process = cat \(path)")
        #expect(try await house.failure("p").kind == .expiredCredentials)
    }
}
