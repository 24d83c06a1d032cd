import Logging
import TestSupport
import Testing

@testable import AWS

/// Where STS is asked where no region is configured, and how the metadata service is asked.
@Suite struct PartitionRegionTests {
    @Test(
        "a role is assumed in a region of its partition where none is configured",
        arguments: [
            ("arn:aws:iam::1:role/a", "us-east-1"), ("arn:aws-cn:iam::1:role/a", "cn-north-1"),
            ("arn:aws-us-gov:iam::1:role/a", "us-gov-west-1"), ("arn:aws-eusc:iam::1:role/a", "eusc-de-east-1"),
            ("arn:aws-new:iam::1:role/a", "us-east-1"), ("a", "us-east-1"),
        ])
    func regions(arn: String, region: String) async throws {
        let house = try Household()
        try house.config(
            "[profile p]\nrole_arn = \(arn)\nsource_profile = b\n[profile b]\naws_access_key_id = AKIAB\naws_secret_access_key = s"
        )
        _ = try await house.chain().credentials(profile: "p")
        let authorization = try #require(house.services.stub.requests.first?.header("authorization"))
        #expect(authorization.contains("/\(region)/sts/aws4_request"))
        _ = try await house.chain(["AWS_REGION": "eu-west-3"]).credentials(profile: "p")
        let configured = try #require(house.services.stub.requests.last?.header("authorization"))
        #expect(configured.contains("/eu-west-3/sts/aws4_request"))
    }

    @Test(
        "the metadata service is asked as often as it is configured, within limits",
        arguments: [("3", 3), ("0", 1), ("-4", 1), ("x", 1), ("99", 10)])
    func attempts(number: String, attempts: Int) async throws {
        let house = try Household()
        let stub = try HTTPStub { _ in .init(500, "") }
        _ = try await house.failure(
            nil,
            [
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": stub.url, "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_METADATA_SERVICE_NUM_ATTEMPTS": number,
            ])
        #expect(stub.requests.count == attempts)
    }

    @Test("the metadata service is asked for a session first, and with it for the role")
    func session() async throws {
        let house = try Household()
        let credentials = try await house.chain([
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": house.services.stub.url + "/", "AWS_EC2_METADATA_DISABLED": "false",
        ]).credentials(profile: nil)
        #expect(credentials.sessionToken == "t" && credentials.expiration == house.services.now.advanced(by: 3_600))
        let requests = house.services.stub.requests
        #expect(
            requests.map(\.target) == [
                "/latest/api/token", "/latest/meta-data/iam/security-credentials/", "/latest/api/token",
                "/latest/meta-data/iam/security-credentials/web-role",
            ])
        #expect(requests.map(\.method) == ["PUT", "GET", "PUT", "GET"])
        #expect(requests.map { $0.header("x-aws-ec2-metadata-token") } == [nil, "v2", nil, "v2"])
        #expect(requests.first?.header("x-aws-ec2-metadata-token-ttl-seconds") == "300")
    }

    @Test("an instance without a role has no credentials")
    func noRole() async throws {
        let house = try Household()
        let stub = try HTTPStub { $0.method == "PUT" ? .init(200, "v2") : .init(200, "\n") }
        let failure = try await house.failure(
            nil, ["AWS_EC2_METADATA_SERVICE_ENDPOINT": stub.url, "AWS_EC2_METADATA_DISABLED": "false"])
        #expect(failure.kind == .noCredentials && failure.why.contains("this instance has no role"))
    }

    @Test("a container's service is asked three times before it is called broken")
    func container() async throws {
        let house = try Household()
        for (status, count) in [(500, 3), (429, 3), (404, 1)] {
            let stub = try HTTPStub { _ in .init(status, "{}") }
            _ = try await house.failure(nil, ["AWS_CONTAINER_CREDENTIALS_FULL_URI": stub.url])
            #expect(stub.requests.count == count, "\(status)")
        }
    }
}
