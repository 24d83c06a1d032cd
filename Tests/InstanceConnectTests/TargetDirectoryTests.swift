import AWS
import Failures
import Logging
import Synchronization
import TestSupport
import Testing
import Transport

@testable import InstanceConnect

@Suite struct TargetDirectoryTests {
    private static func instance(_ id: String, name: String? = nil) -> String {
        let tags = name.map { "<tagSet><item><key>Name</key><value>\($0)</value></item></tagSet>" } ?? ""
        return "<item><instanceId>\(id)</instanceId><instanceState><name>running</name></instanceState>\(tags)</item>"
    }

    private func context(_ stub: HTTPStub, config: String = "/nonexistent") -> AWSContext {
        let variables = [
            "AWS_ENDPOINT_URL_EC2": stub.url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_REGION": "eu-west-1",
        ]
        return AWSContext(environment: Environment(variables), logger: Logger(label: "test"))
    }

    private static func answer(_ items: [String]) -> HTTPStub.Answer {
        .init(
            200,
            """
            <DescribeInstancesResponse><reservationSet><item><instancesSet>\(items.joined())</instancesSet></item>\
            </reservationSet></DescribeInstancesResponse>
            """)
    }

    @Test("instances that run or are about to are listed by name, those without one last, and kept for a minute")
    func listing() async throws {
        let stub = try HTTPStub { _ in
            Self.answer([
                Self.instance("i-4"), Self.instance("i-2", name: "web"), Self.instance("i-3", name: "db"),
                Self.instance("i-1", name: "web"),
            ])
        }
        let start = ContinuousClock.now
        let seconds = Atomic(0)
        let directory = TargetDirectory(context: context(stub)) { start + .seconds(seconds.load(ordering: .relaxed)) }
        let found = try await directory.targets(profile: nil, region: nil, environment: nil)
        #expect(found.region == "eu-west-1" && found.instances.map(\.id) == ["i-3", "i-1", "i-2", "i-4"])
        let body = try #require(stub.requests.first?.body)
        #expect(body.contains("Filter.1.Name=instance-state-name&Filter.1.Value.1=pending&Filter.1.Value.2=running&"))
        seconds.store(59, ordering: .relaxed)
        _ = try await directory.targets(profile: nil, region: nil, environment: nil)
        #expect(stub.requests.count == 1)
        // Another region is another list.
        #expect(try await directory.targets(profile: nil, region: "eu-west-2", environment: nil).region == "eu-west-2")
        #expect(stub.requests.count == 2)
        seconds.store(60, ordering: .relaxed)
        _ = try await directory.targets(profile: nil, region: nil, environment: nil)
        #expect(stub.requests.count == 3)
    }

    @Test("the profiles are listed by name")
    func profiles() async throws {
        let stub = try HTTPStub { _ in .init(200, "") }
        let folder = try TemporaryDirectory()
        let config = try folder.write("config", "[profile b]\n[default]\n[profile a]\n[sso-session s]\n")
        let directory = TargetDirectory(context: context(stub, config: config))
        #expect(try await directory.profiles(under: nil) == ["a", "b", "default"])
    }

    @Test("of many instances with one name five are listed", arguments: [(2, false), (5, false), (6, true)])
    func ambiguity(count: Int, isCut: Bool) async throws {
        let stub = try HTTPStub { _ in Self.answer((1...count).map { Self.instance("i-\($0)", name: "web") }) }
        let discovery = Discovery(context: context(stub))
        let request = RouteRequest(target: try Target(parsing: "web"), remotePort: 22)
        let failure = await #expect(throws: Failure.self) { try await discovery.resolve(request) }
        let why = try #require(failure?.why)
        #expect(failure?.kind == .ambiguousTarget && failure?.what == "web means \(count) instances in eu-west-1")
        #expect(why.hasSuffix(" and 1 more") == isCut && why.contains("i-\(min(count, 5)) (web)"))
        #expect(!why.contains("i-6"))
    }

    @Test("an instance that is about to run is dialed, and one that ends is not")
    func states() async throws {
        for (state, isDialed) in [
            ("pending", true), ("running", true), ("stopping", false), ("shutting-down", false), ("terminated", false),
        ] {
            let stub = try HTTPStub { _ in
                Self.answer([Self.instance("i-00000000000000001").replacing("running", with: state)])
            }
            let discovery = Discovery(context: context(stub))
            let request = RouteRequest(target: try Target(parsing: "i-00000000000000001"), remotePort: 22)
            let failure = await #expect(throws: Failure.self) { try await discovery.resolve(request) }
            #expect(failure?.kind == (isDialed ? .targetWithoutAddress : .targetNotRunning), "\(state)")
            // Only a stopped one can be started.
            if !isDialed { #expect(failure?.hint == nil) }
        }
    }
}
