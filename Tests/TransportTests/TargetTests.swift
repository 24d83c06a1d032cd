import Failures
import Testing

@testable import Transport

@Suite struct TargetTests {
    @Test(arguments: [
        ("i-0123456789abcdef0", Target.Kind.instance(id: "i-0123456789abcdef0")),
        ("I-0123456789ABCDEF0", .instance(id: "i-0123456789abcdef0")),
        ("i-1234abcd", .instance(id: "i-1234abcd")),
        ("web-1", .name("web-1")),
        ("web-1.eice", .name("web-1")),
        ("i-like-names.eice", .name("i-like-names")),
        ("Web 1.EICE", .name("Web 1")),
        ("10.0.0.7.eice", .name("10.0.0.7")),
        ("db.example.com", .name("db.example.com")),
        ("ip-10-0-1-5.eu-west-1.compute.internal", .privateDNSName("ip-10-0-1-5.eu-west-1.compute.internal")),
        ("IP-10-0-1-5.ec2.internal", .privateDNSName("ip-10-0-1-5.ec2.internal")),
        ("ip-10-0-1-5.eu-west-1.compute.internal.", .privateDNSName("ip-10-0-1-5.eu-west-1.compute.internal")),
        // Resource-based names have the instance's id.
        ("i-0123456789abcdef0.eu-west-1.compute.internal", .instance(id: "i-0123456789abcdef0")),
        ("i-0123456789abcdef0.cn-north-1.compute.internal", .instance(id: "i-0123456789abcdef0")),
        ("i-0123456789abcdef0.ec2.internal", .instance(id: "i-0123456789abcdef0")),
        ("i-1234abcd.ec2.internal", .instance(id: "i-1234abcd")),
        ("I-0123456789ABCDEF0.EU-WEST-1.COMPUTE.INTERNAL.", .instance(id: "i-0123456789abcdef0")),
        ("i-0123456789abcdef0.", .instance(id: "i-0123456789abcdef0")),
        // The same beginning in another name's place.
        ("i-0123456789abcdef0.corp.internal", .privateDNSName("i-0123456789abcdef0.corp.internal")),
        ("i-web.eu-west-1.compute.internal", .privateDNSName("i-web.eu-west-1.compute.internal")),
        (
            "i-0123456789abcdef0.a.eu-west-1.compute.internal",
            .privateDNSName("i-0123456789abcdef0.a.eu-west-1.compute.internal")
        ),
        ("i-0123456789abcdef0.ec2.internal.eice", .name("i-0123456789abcdef0.ec2.internal")),
        ("Web-1.EICE.", .name("Web-1")),
        ("Acme Inc.", .name("Acme Inc.")),
        ("日本語", .name("日本語")),
    ])
    func targetsAreToldApart(text: String, kind: Target.Kind) throws {
        let target = try Target(parsing: text)
        #expect(target.kind == kind)
        #expect(target.description == text)
    }

    @Test func addressesAreComparedByTheirBytes() throws {
        let long = try Target(parsing: "2001:db8:0:0::5")
        let short = try Target(parsing: "[2001:DB8::5]")
        #expect(long.kind == short.kind)
        #expect(try Target(parsing: "10.0.1.5").kind != long.kind)
    }

    @Test(arguments: [
        "", "i-123", "i-xyz", "i-0123456789abcdef01", "eice-0123456789abcdef0", ".eice", ".eice.", "a\nb", "a\u{0}",
        "i-0123456789abcdef0.eu-west-1", "i-0123456789abcdef0..",
    ])
    func whatCannotBeATargetIsRefused(text: String) {
        let failure = #expect(throws: Failure.self) { try Target(parsing: text) }
        #expect(failure?.kind == .usage)
    }

    @Test func overlongNamesAreRefused() {
        #expect(throws: Failure.self) { try Target(parsing: String(repeating: "n", count: 300)) }
    }
}
