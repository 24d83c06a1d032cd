import Failures
import TestSupport
import Testing

@testable import AWS

@Suite struct HTTPClientTests {
    private func failure(_ request: HTTPRequest, _ client: HTTPClient = HTTPClient()) async throws -> Failure {
        do {
            let response = try await client.send(request)
            throw TestFailure("an answer came: \(response.status)")
        } catch let failure as Failure {
            return failure
        }
    }

    @Test func aLibraryThatIsMissingIsNamedToEachCaller() async throws {
        let client = HTTPClient(library: "libnone.so.4")
        for _ in 0..<2 {
            let failure = try await failure(HTTPRequest(url: "http://127.0.0.1:1", purpose: "test"), client)
            #expect(failure.kind == .internal)
            #expect(failure.why.contains("libnone.so.4"))
            #expect(failure.hint?.contains("libcurl4") == true)
        }
    }

    @Test func aServiceThatRepeatsWhatItWasSentShowsNoSecret() async throws {
        let stub = try HTTPStub { request in
            let said = request.headers.map { "\($0.0)=\($0.1)" }.joined(separator: "&") + request.body
            return .init(400, headers: [("X-Echo", said)], said)
        }
        let (token, signature) = ("IQoJ/planted+token=", "0123456789abcdef0123456789abcdef")
        let secret = "planted/client+secret"
        let response = try await HTTPClient().send(
            HTTPRequest(
                method: "POST", url: stub.url,
                headers: [
                    ("X-Amz-Security-Token", token),
                    ("Authorization", "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=\(signature)"),
                ], body: Array("{\"clientSecret\":\"planted\\/client+secret\",\"name\":\"n\"}".utf8), purpose: "test",
                secrets: [secret]))
        #expect(response.text.contains("\"name\":\"n\""))
        #expect(response.text.contains("\"clientSecret\":\"…\""))
        for text in [response.text, response.header("x-echo") ?? ""] {
            #expect(text.contains("X-Amz-Security-Token=…"))
            #expect(!text.contains("planted"))
            #expect(!text.contains(signature))
        }
    }

    @Test func statusHeadersAndBodyComeVerbatim() async throws {
        let stub = try HTTPStub { request in
            .init(418, headers: [("X-Amzn-RequestId", "r-1")], "\(request.method) \(request.target) \(request.body)")
        }
        let client = HTTPClient(userAgent: "eiced/test")
        let response = try await client.send(
            HTTPRequest(
                method: "POST", url: "\(stub.url)/a?b=c", headers: [("X-One", "1")], body: Array("hello".utf8),
                purpose: "test"))
        #expect(response.status == 418)
        #expect(response.header("x-amzn-requestid") == "r-1")
        #expect(response.text == "POST /a?b=c hello")
        let request = try #require(stub.requests.first)
        #expect(request.header("x-one") == "1")
        #expect(request.header("user-agent") == "eiced/test")
        #expect(request.header("content-type") == nil)
        #expect(request.header("expect") == nil)
    }

    @Test func emptyBodiesAndOtherMethodsAreSent() async throws {
        let stub = try HTTPStub { .init(200, $0.method) }
        let client = HTTPClient()
        #expect(try await client.send(HTTPRequest(method: "PUT", url: stub.url, purpose: "test")).text == "PUT")
        #expect(try #require(stub.requests.first).header("content-length") == "0")
        #expect(try await client.send(HTTPRequest(url: stub.url, purpose: "test")).text == "GET")
    }

    @Test func redirectsAreNotFollowed() async throws {
        let stub = try HTTPStub { _ in .init(302, headers: [("Location", "http://127.0.0.1:1/")]) }
        #expect(try await HTTPClient().send(HTTPRequest(url: stub.url, purpose: "test")).status == 302)
    }

    @Test func manyRequestsAtOnceAllEnd() async throws {
        let stub = try HTTPStub { .init(200, $0.target) }
        let client = HTTPClient()
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<50 {
                group.addTask {
                    let request = HTTPRequest(url: "\(stub.url)/\(number)", purpose: "test")
                    return try await client.send(request).text == "/\(number)"
                }
            }
            for try await isRight in group { #expect(isRight) }
        }
    }

    @Test func anAnswerBeyondTheCapIsRefused() async throws {
        let stub = try HTTPStub { _ in .init(200, String(repeating: "x", count: 5_000)) }
        let failure = try await failure(
            HTTPRequest(url: stub.url, purpose: "read the answer"), HTTPClient(largestBody: 4_096))
        #expect(failure.kind == .protocolMismatch)
        #expect(failure.sentence.contains("read the answer"))
    }

    @Test func silenceEndsAtTheTimeout() async throws {
        let stub = try HTTPStub { _ in .silence }
        let failure = try await failure(
            HTTPRequest(url: stub.url, timeout: .milliseconds(50), purpose: "look up i-1"))
        #expect(failure.kind == .deadline)
        #expect(failure.sentence.contains("127.0.0.1:\(stub.port)"))
    }

    @Test func aCancelledTaskLeavesAtOnce() async throws {
        let stub = try HTTPStub { _ in .silence }
        let client = HTTPClient()
        let task = Task { try await client.send(HTTPRequest(url: stub.url, timeout: .seconds(600), purpose: "wait")) }
        try await eventually("the request is there") { stub.requests.count == 1 }
        task.cancel()
        let failure = await #expect(throws: Failure.self) { try await task.value }
        #expect(failure?.kind == .deadline)
    }

    @Test func aTaskCancelledBeforeItBeganSendsNothing() async throws {
        let stub = try HTTPStub { _ in .init() }
        let client = HTTPClient()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await client.send(HTTPRequest(url: stub.url, purpose: "wait"))
        }
        await #expect(throws: Failure.self) { try await task.value }
        #expect(stub.requests.isEmpty)
    }

    @Test func networkErrorsAreNamed() async throws {
        let refused = try await failure(HTTPRequest(url: "http://127.0.0.1:\(try freePort())/", purpose: "call"))
        #expect(refused.kind == .cannotConnect)
        let unknown = try await failure(HTTPRequest(url: "http://host.invalid/", purpose: "call"))
        #expect(unknown.kind == .nameNotResolved)
        #expect(unknown.sentence.contains("host.invalid"))
        let scheme = try await failure(HTTPRequest(url: "file:///etc/passwd", purpose: "call"))
        #expect(scheme.kind == .configuration)
        let notTLS = try HTTPStub { _ in .init() }
        let tls = try await failure(
            HTTPRequest(url: "https://127.0.0.1:\(notTLS.port)/", timeout: .seconds(5), purpose: "call"))
        #expect(tls.kind == .tls)
        let bundle = try await failure(
            HTTPRequest(url: "https://127.0.0.1:\(notTLS.port)/", trustRoots: "/nonexistent.pem", purpose: "call"))
        #expect(bundle.kind == .configuration)
        #expect(bundle.sentence.contains("/nonexistent.pem"))
    }

    @Test func aProxyThatRefusesIsNamedWithoutItsPassword() async throws {
        let proxy = try HTTPStub { _ in .init(407) }
        let failure = try await failure(
            HTTPRequest(
                url: "https://ec2.example.com/", timeout: .seconds(5),
                proxy: "http://ann:s3cret@127.0.0.1:\(proxy.port)",
                purpose: "call"))
        #expect(failure.kind == .cannotConnect)
        #expect(failure.sentence.contains("127.0.0.1:\(proxy.port)"))
        #expect(!"\(failure)".contains("s3cret"))
        #expect(failure.hint?.contains("HTTPS_PROXY") == true)
        #expect(proxy.requests.first?.method == "CONNECT")
        #expect(proxy.requests.first?.header("Proxy-Authorization") == "Basic YW5uOnMzY3JldA==")
    }

    @Test func closingTheClientEndsItsThreadAndItsRequests() async throws {
        let stub = try HTTPStub { _ in .silence }
        var client: HTTPClient? = HTTPClient()
        let task = Task { [client] in try await client?.send(HTTPRequest(url: stub.url, purpose: "wait")) }
        try await eventually("the request is there") { stub.requests.count == 1 }
        client = nil
        task.cancel()
        await #expect(throws: Failure.self) { try await task.value }
    }
}
