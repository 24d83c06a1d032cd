import Failures
import FoundationEssentials
import TestSupport
import Testing

@testable import AWS

@Suite struct EndpointRulesTests {
    private func rules(_ variables: [String: String] = [:], config: String = "") throws -> EndpointRules {
        let file = try ProfileFile(parsing: Array(config.utf8))
        let shared = SharedConfig(config: file, configPath: "/c", credentials: nil, credentialsPath: "/k")
        return EndpointRules(
            environment: Environment(variables), config: shared, profile: try shared.profile("default"))
    }

    @Test(arguments: [
        ("eu-west-1", false, false, "ec2.eu-west-1.amazonaws.com"),
        ("eu-west-1", true, false, "ec2-fips.eu-west-1.amazonaws.com"),
        ("eu-west-1", false, true, "ec2.eu-west-1.api.aws"),
        ("eu-west-1", true, true, "ec2-fips.eu-west-1.api.aws"),
        ("cn-north-1", false, false, "ec2.cn-north-1.amazonaws.com.cn"),
        ("cn-north-1", false, true, "ec2.cn-north-1.api.amazonwebservices.com.cn"),
        ("us-gov-west-1", false, false, "ec2.us-gov-west-1.amazonaws.com"),
        ("us-gov-west-1", true, false, "ec2.us-gov-west-1.amazonaws.com"),
        ("us-gov-west-1", true, true, "ec2-fips.us-gov-west-1.api.aws"),
        ("us-iso-east-1", false, false, "ec2.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", false, false, "ec2.us-isob-east-1.sc2s.sgov.gov"),
        ("us-isof-south-1", false, false, "ec2.us-isof-south-1.csp.hci.ic.gov"),
        ("eu-isoe-west-1", false, false, "ec2.eu-isoe-west-1.cloud.adc-e.uk"),
        ("eusc-de-east-1", false, false, "ec2.eusc-de-east-1.amazonaws.eu"),
        ("xx-new-1", false, false, "ec2.xx-new-1.amazonaws.com"),
    ])
    func hostsFollowThePartition(region: String, fips: Bool, dualStack: Bool, host: String) throws {
        let rules = try rules([
            "AWS_USE_FIPS_ENDPOINT": "\(fips)", "AWS_USE_DUALSTACK_ENDPOINT": "\(dualStack)",
        ])
        #expect(try rules.endpoint(of: .ec2, in: region).address.host == host)
    }

    /// As botocore's rule sets have them.
    @Test(arguments: [
        (Service.sts, "us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        (.sts, "eu-west-1", "sts-fips.eu-west-1.amazonaws.com"),
        (.sso, "eu-west-1", "portal.sso-fips.eu-west-1.amazonaws.com"),
        (.sso, "us-gov-west-1", "portal.sso.us-gov-west-1.amazonaws.com"),
        (.ssoOIDC, "us-gov-east-1", "oidc.us-gov-east-1.amazonaws.com"),
        (.ssoOIDC, "cn-north-1", "oidc-fips.cn-north-1.amazonaws.com.cn"),
    ])
    func otherServicesHaveTheirOwnFIPSNames(service: Service, region: String, host: String) throws {
        let rules = try rules(["AWS_USE_FIPS_ENDPOINT": "true"])
        #expect(try rules.endpoint(of: service, in: region).address.host == host)
    }

    private static let services: [String: Service] = ["ec2": .ec2, "sts": .sts, "sso": .sso, "sso-oidc": .ssoOIDC]

    /// AWS's own rules for each service in each region of each partition, with and without FIPS and dual-stack. The region
    /// "aws-global", which STS alone has, is left out.
    private static let script = """
        import json
        import botocore.loaders
        from botocore.endpoint_provider import EndpointProvider
        loader = botocore.loaders.create_loader()
        partitions = loader.load_data("partitions")
        regions = {"xx-new-1"}
        for partition in partitions["partitions"]:
            regions.update(name for name in partition["regions"] if name != "aws-global")
        rows = []
        for service in ["ec2", "sts", "sso", "sso-oidc"]:
            rules = EndpointProvider(loader.load_service_model(service, "endpoint-rule-set-1"), partitions)
            for region in sorted(regions):
                for fips in [False, True]:
                    for dual in [False, True]:
                        url = rules.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual).url
                        rows.append({"service": service, "region": region, "fips": fips, "dual": dual, "url": url})
        print(json.dumps(rows))
        """

    private struct Row: Decodable {
        let service: String
        let region: String
        let fips: Bool
        let dual: Bool
        let url: String
    }

    @Test(
        "every address is the one of AWS's rule sets",
        .enabled("python3 with botocore is not installed here") { try await Python.has("botocore.endpoint_provider") })
    func ruleSets() async throws {
        let folder = try TemporaryDirectory()
        let output = try await Python.run(try folder.write("rules.py", Self.script))
        let rows = try JSONDecoder().decode([Row].self, from: Data(output.utf8))
        #expect(rows.count > 500)
        for row in rows {
            let service = try #require(Self.services[row.service])
            let rules = try rules([
                "AWS_USE_FIPS_ENDPOINT": "\(row.fips)", "AWS_USE_DUALSTACK_ENDPOINT": "\(row.dual)",
            ])
            let host = try rules.endpoint(of: service, in: row.region).address.host
            #expect("https://\(host)" == row.url, "\(row)")
        }
    }

    @Test(
        "a pseudo region asks for FIPS in the real one",
        arguments: [
            ("fips-us-gov-west-1", Service.ec2, "us-gov-west-1", "ec2.us-gov-west-1.amazonaws.com"),
            ("us-gov-west-1-fips", .sts, "us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
            ("fips-us-gov-east-1", .sso, "us-gov-east-1", "portal.sso.us-gov-east-1.amazonaws.com"),
            ("us-east-1-fips", .ssoOIDC, "us-east-1", "oidc-fips.us-east-1.amazonaws.com"),
            ("us-fips-east-1", .ec2, "us-east-1", "ec2-fips.us-east-1.amazonaws.com"),
            ("fips-ca-central-1", .sts, "ca-central-1", "sts-fips.ca-central-1.amazonaws.com"),
            ("eu-west-1", .ec2, "eu-west-1", "ec2.eu-west-1.amazonaws.com"),
        ])
    func pseudoRegions(name: String, service: Service, region: String, host: String) throws {
        let endpoint = try rules().endpoint(of: service, in: name)
        #expect(endpoint.region == region)
        #expect(endpoint.address.host == host)
        #expect(try rules().usesFIPS(in: name) == (name != region))
        // An address of the user's own is taken as it is, and signed for in the real region.
        let own = try rules(["AWS_ENDPOINT_URL": "http://own"]).endpoint(of: service, in: name)
        #expect(own.region == region && own.address.host == "own")
    }

    @Test func overridesStandInTheirOrder() throws {
        let config = """
            [default]
            services = local
            endpoint_url = http://global-config:1
            [services local]
            ec2 =
              endpoint_url = http://service-config:2/base
            """
        func host(_ variables: [String: String], _ service: Service = .ec2) throws -> String {
            try rules(variables, config: config).endpoint(of: service, in: "eu-west-1").address.host
        }
        #expect(try host(["AWS_ENDPOINT_URL_EC2": "http://a", "AWS_ENDPOINT_URL": "http://b"]) == "a")
        #expect(try host(["AWS_ENDPOINT_URL": "http://b"]) == "b")
        #expect(try host([:]) == "service-config")
        #expect(try host([:], .sts) == "global-config")
        #expect(try host(["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"]) == "ec2.eu-west-1.amazonaws.com")
    }

    @Test func profilesAskForFIPSAndDualStackToo() throws {
        func host(_ config: String, _ variables: [String: String] = [:]) throws -> String {
            try rules(variables, config: "[default]\n\(config)").endpoint(of: .ec2, in: "eu-west-1").address.host
        }
        #expect(try host("use_fips_endpoint = true") == "ec2-fips.eu-west-1.amazonaws.com")
        #expect(try host("use_dualstack_endpoint = true") == "ec2.eu-west-1.api.aws")
        // The variable decides where both speak.
        #expect(
            try host("use_fips_endpoint = true", ["AWS_USE_FIPS_ENDPOINT": "false"]) == "ec2.eu-west-1.amazonaws.com")
    }

    @Test func eachServiceHasAnOverrideOfItsOwn() throws {
        let services: [(Service, String)] = [(.ec2, "EC2"), (.sts, "STS"), (.sso, "SSO"), (.ssoOIDC, "SSO_OIDC")]
        for (service, name) in services {
            let rules = try rules(["AWS_ENDPOINT_URL_\(name)": "https://vpce-1.\(name.lowercased()).example:8443"])
            for (other, otherName) in services {
                let authority = try rules.endpoint(of: other, in: "eu-west-1").address.authority
                #expect(authority.hasPrefix("vpce-1.") == (service == other), "\(name) \(otherName)")
            }
            let section = "[default]\nservices = s\n[services s]\n\(name.lowercased()) =\n  endpoint_url = http://own"
            #expect(try self.rules(config: section).endpoint(of: service, in: "eu-west-1").address.host == "own")
        }
        let off = "[default]\nignore_configured_endpoint_urls = true\nendpoint_url = http://own"
        #expect(
            try rules(config: off).endpoint(of: .ec2, in: "eu-west-1").address.host == "ec2.eu-west-1.amazonaws.com")
    }

    @Test func theRegionIsTakenInItsOrder() throws {
        func region(_ named: String?, _ variables: [String: String], _ config: String = "region = of-profile") throws
            -> String?
        {
            let file = try ProfileFile(parsing: Array("[default]\n\(config)".utf8))
            let shared = SharedConfig(config: file, configPath: "/c", credentials: nil, credentialsPath: "/k")
            return Region.configured(
                named: named, environment: Environment(variables), profile: try shared.profile("default"))
        }
        let both = ["AWS_REGION": "of-variable", "AWS_DEFAULT_REGION": "of-default"]
        #expect(try region("named", both) == "named")
        #expect(try region(nil, both) == "of-variable")
        #expect(try region(nil, ["AWS_DEFAULT_REGION": "of-default"]) == "of-default")
        #expect(try region(nil, [:]) == "of-profile")
        #expect(try region(nil, [:], "") == nil)
    }

    @Test func aBadOverrideIsNamed() throws {
        let rules = try rules(["AWS_ENDPOINT_URL_EC2": "localhost:80"])
        let failure = #expect(throws: Failure.self) { try rules.endpoint(of: .ec2, in: "eu-west-1") }
        #expect(failure?.kind == .configuration)
        #expect(failure?.sentence.contains("AWS_ENDPOINT_URL_EC2") == true)
    }

    @Test func aRegionCannotSmuggleAHost() throws {
        for region in ["eu-west-1.evil.com#", "", "a/b", "-a", "ä", "fips-", "-fips", "eu-west-1\n", "eu west 1"] {
            for variables in [[:], ["AWS_ENDPOINT_URL": "http://own"]] {
                let failure = #expect(throws: Failure.self) { try rules(variables).endpoint(of: .ec2, in: region) }
                #expect(failure?.kind == .noRegion)
            }
        }
    }
}
