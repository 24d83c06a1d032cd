import Failures
import Glibc
import TestSupport
import Testing

@testable import AWS

@Suite struct TrustTests {
    private func status(_ stub: TLSStub, _ roots: String?, host: String = "127.0.0.1") async throws -> Int {
        let request = HTTPRequest(
            url: "https://\(host):\(stub.port)/", timeout: .seconds(10), trustRoots: roots, purpose: "call")
        return try await HTTPClient().send(request).status
    }

    @Test func aCertificateOfTheNamedBundleIsTrusted() async throws {
        let folder = try TemporaryDirectory()
        let stub = try TLSStub(in: folder, names: [.address([127, 0, 0, 1])])
        #expect(try await status(stub, stub.trustRoots) == 200)
    }

    @Test func anUnknownAuthorityIsRefusedWithAHint() async throws {
        let folder = try TemporaryDirectory()
        let stub = try TLSStub(in: folder, names: [.address([127, 0, 0, 1])])
        let failure = await #expect(throws: Failure.self) { try await status(stub, nil) }
        #expect(failure?.kind == .tls)
        #expect(failure?.hint?.contains("AWS_CA_BUNDLE") == true)
    }

    @Test func anotherNameIsRefused() async throws {
        let folder = try TemporaryDirectory()
        let stub = try TLSStub(in: folder, names: [.dns("ec2.eu-west-1.amazonaws.com")])
        let failure = await #expect(throws: Failure.self) { try await status(stub, stub.trustRoots) }
        #expect(failure?.kind == .tls)
    }

    @Test func theBundleIsChosenByVariableThenProfileThenOpenSSLsVariable() async throws {
        let folder = try TemporaryDirectory()
        try folder.write("config", "[default]\nca_bundle = ~/p.pem\n[profile q]\nregion = x")
        func roots(_ variables: [String: String], _ profile: String?) async throws -> String? {
            let files = ["HOME": "/h", "AWS_CONFIG_FILE": folder("config"), "AWS_SHARED_CREDENTIALS_FILE": "/none"]
            let environment = Environment(files.merging(variables) { $1 })
            let context = AWSContext(environment: environment, logger: .init(label: "test"))
            return try await context.trustRoots(profile: profile)
        }
        #expect(try await roots(["AWS_CA_BUNDLE": "~/a.pem", "SSL_CERT_FILE": "/s.pem"], nil) == "/h/a.pem")
        #expect(try await roots(["SSL_CERT_FILE": "/s.pem"], nil) == "/h/p.pem")
        #expect(try await roots(["SSL_CERT_FILE": "/s.pem"], "q") == "/s.pem")
        #expect(try await roots([:], "q") == nil)
    }
}

/// Against a real proxy, with and without authentication.
@Suite(.enabled("tinyproxy is not installed here") { Tinyproxy.isInstalled })
struct TinyproxyTests {
    @Test func apiCallsGoThroughTheProxy() async throws {
        let folder = try TemporaryDirectory()
        let stub = try TLSStub(in: folder, names: [.address([127, 0, 0, 1])])
        let plain = try HTTPStub { _ in .init(200, "plain") }
        for login in [nil, "ann:s3cret"] {
            let proxy = try await Tinyproxy.start(login: login)
            let url = proxy.url
            let tunneled = try await HTTPClient().send(
                HTTPRequest(
                    url: "https://127.0.0.1:\(stub.port)/", proxy: url, trustRoots: stub.trustRoots, purpose: "call"))
            #expect(tunneled.status == 200)
            let forwarded = try await HTTPClient().send(HTTPRequest(url: plain.url, proxy: url, purpose: "call"))
            #expect(forwarded.text == "plain")
        }
        #expect(plain.requests.allSatisfy { $0.header("via")?.contains("tinyproxy") == true })
    }

    @Test func aWrongPasswordIsNamedAndNotShown() async throws {
        let proxy = try await Tinyproxy.start(login: "ann:s3cret")
        let request = HTTPRequest(
            url: "https://ec2.example.com/", timeout: .seconds(10), proxy: "http://ann:wr0ng@127.0.0.1:\(proxy.port)",
            purpose: "call")
        let failure = await #expect(throws: Failure.self) { try await HTTPClient().send(request) }
        #expect(failure?.kind == .cannotConnect)
        #expect(failure.map { "\($0)" }?.contains("wr0ng") == false)
    }
}
