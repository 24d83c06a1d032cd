import Failures
import Logging
import Synchronization
import TestSupport
import Testing

@testable import AWS

@Suite struct EC2PagingTests {
    private func ec2(_ stub: HTTPStub) -> EC2 {
        let variables = [
            "AWS_ENDPOINT_URL_EC2": stub.url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        ]
        let context = AWSContext(environment: Environment(variables), logger: Logger(label: "test"))
        return EC2(context: context, profile: nil, region: "eu-west-1")
    }

    @Test("a token that is repeated ends the pages")
    func aRepeatedToken() async throws {
        let stub = try HTTPStub { _ in .init(200, EC2Tests.instances(EC2Tests.instance, token: "same")) }
        #expect(try await ec2(stub).describeInstances(purpose: "look").count == 2)
        #expect(stub.requests.map { $0.body.contains("NextToken=same") } == [false, true])
    }

    @Test("pages without an end are given up after 200")
    func pagesWithoutAnEnd() async throws {
        let count = Atomic(0)
        let stub = try HTTPStub { _ in
            let number = count.add(1, ordering: .relaxed).newValue
            return .init(200, EC2Tests.instances("", token: "\(number)"))
        }
        let failure = await #expect(throws: Failure.self) { try await ec2(stub).describeInstances(purpose: "look") }
        #expect(failure?.kind == .protocolMismatch)
        #expect(failure?.why.contains("200 pages") == true)
        #expect(stub.requests.count == 200)
    }

    @Test("a page size is requested with filters and not with ids")
    func pageSize() async throws {
        let stub = try HTTPStub { _ in .init(200, EC2Tests.instances("")) }
        _ = try await ec2(stub).describeInstances(ids: ["i-1", "i-2"], purpose: "look")
        _ = try await ec2(stub).describeInstances(
            filters: [EC2.Filter("a", "b", "c"), EC2.Filter("d", "e")], purpose: "look")
        let bodies = stub.requests.map(\.body)
        try #require(bodies.count == 2)
        #expect(bodies[0].hasSuffix("&InstanceId.1=i-1&InstanceId.2=i-2"))
        #expect(
            bodies[1].hasSuffix(
                "&Filter.1.Name=a&Filter.1.Value.1=b&Filter.1.Value.2=c&Filter.2.Name=d&Filter.2.Value.1=e&MaxResults=1000"
            ))
    }
}
