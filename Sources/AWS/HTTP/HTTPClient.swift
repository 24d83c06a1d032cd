import CCurl
import Failures

/// HTTP for the control plane: API calls, credentials, log-in services. All transfers share one libcurl multi handle on one
/// thread of its own, begun at the first request, so that a daemon which never calls AWS never pays for it.
///
/// TLS is verified against the system's roots (or the request's), redirects are not followed, answers are returned as they
/// are whatever their status, but for the request's secrets where it is no success.
public final class HTTPClient: Sendable {
    private let thread: CurlThread

    /// `largestBody` is in bytes; a longer answer fails. `userAgent` is what CloudTrail shows.
    public convenience init(userAgent: String = "eiced", largestBody: Int = 16 << 20) {
        self.init(userAgent: userAgent, largestBody: largestBody, library: "libcurl.so.4")
    }

    /// `library` is what is loaded by the first request.
    init(userAgent: String = "eiced", largestBody: Int = 16 << 20, library: String) {
        thread = CurlThread(userAgent: userAgent, largestBody: largestBody, library: library)
    }

    deinit { thread.stop() }

    /// Sends a request and waits for the whole answer.
    /// - Throws: `.nameNotResolved`, `.cannotConnect`, `.tls`, `.connectionLost`, `.deadline` (also where the calling task is
    ///   cancelled), `.protocolMismatch`, each naming host and purpose; `.configuration` for a bad URL or bundle; `.internal`
    ///   where libcurl cannot be used.
    public func send(_ request: HTTPRequest) async throws(Failure) -> HTTPResponse {
        // Each source checks what it gives; this holds the rule for whatever becomes a header later.
        for (name, value) in request.headers where value.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F })
        {
            throw Failure(.internal, "cannot \(request.purpose)", why: "the header \(name) has a control character")
        }
        var request = request
        if let path = request.trustRoots {
            guard let bytes = try await LocalFile.read(path, limit: LocalFile.largestBundle) else {
                throw Failure(
                    .configuration, "cannot \(request.purpose): trust roots \(path)", why: "there is no such file",
                    hint: "check AWS_CA_BUNDLE, ca_bundle and SSL_CERT_FILE")
            }
            request.certificates = bytes
        }
        return try await sendComplete(request)
    }

    private func sendComplete(_ request: HTTPRequest) async throws(Failure) -> HTTPResponse {
        let ticket = thread.ticket()
        let outcome: Result<HTTPResponse, Failure> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                thread.submit(request, ticket, continuation)
            }
        } onCancel: {
            thread.cancel(ticket)
        }
        thread.forget(ticket)
        return try outcome.get().answering(request.allSecrets)
    }
}
