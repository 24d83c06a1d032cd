import AWS
import Failures
import Testing

@testable import InstanceConnect

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
        "", "i-123", "i-xyz", "i-0123456789abcdef01", "eice-0123456789abcdef0", ".eice", "a\nb", "a\u{0}",
    ])
    func whatCannotBeATargetIsRefused(text: String) {
        let failure = #expect(throws: Failure.self) { try Target(parsing: text) }
        #expect(failure?.kind == .usage)
    }

    @Test func overlongNamesAreRefused() {
        #expect(throws: Failure.self) { try Target(parsing: String(repeating: "n", count: 300)) }
    }
}
