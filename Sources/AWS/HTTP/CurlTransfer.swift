import Basics
import CCurl
import Failures
import OpenSSL

/// One transfer: the easy handle with what it points to. Confined to the thread of `CurlThread`.
final class CurlTransfer {
    let easy: UnsafeMutableRawPointer
    let request: HTTPRequest
    let continuation: CurlThread.Continuation
    private let largestBody: Int
    private var headerList: UnsafeMutablePointer<curl_slist>?
    private let message: UnsafeMutablePointer<CChar>
    private var body: [UInt8] = []
    private var headers: [(String, String)] = []
    private var isTooLarge = false
    private let certificateTimes = CertificateTimeWatch()

    /// Whether libcurl's TLS is the OpenSSL that this process is linked with.
    private static let usesOurOpenSSL = String(cString: curl_version()).contains(" OpenSSL/3.")

    init?(
        _ request: HTTPRequest,
        ticket: UInt64,
        continuation: CurlThread.Continuation,
        userAgent: String,
        largestBody: Int
    ) {
        guard let easy = curl_easy_init() else { return nil }
        self.easy = easy
        self.request = request
        self.continuation = continuation
        self.largestBody = largestBody
        message = .allocate(capacity: Int(CURL_ERROR_SIZE))
        message.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        setUp(userAgent)
    }

    deinit {
        curl_easy_cleanup(easy)
        curl_slist_free_all(headerList)
        message.deallocate()
    }

    private func setUp(_ userAgent: String) {
        curl_setopt_string(easy, CURLOPT_URL, request.url)
        curl_setopt_string(easy, CURLOPT_PROTOCOLS_STR, "http,https")
        curl_setopt_long(easy, CURLOPT_NOSIGNAL, 1)
        // A look-up that hangs must not hold the thread when its transfer is given up.
        curl_setopt_long(easy, CURLOPT_QUICK_EXIT, 1)
        curl_setopt_long(easy, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        curl_setopt_long(easy, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        curl_setopt_string(easy, CURLOPT_USERAGENT, userAgent)
        curl_setopt_long(easy, CURLOPT_TIMEOUT_MS, request.timeout.milliseconds)
        curl_setopt_long(easy, CURLOPT_CONNECTTIMEOUT_MS, request.connectTimeout.milliseconds)
        // Empty turns libcurl's own look at the environment off: ProxySettings decides for tunnel and API alike.
        curl_setopt_string(easy, CURLOPT_PROXY, request.proxy ?? "")
        curl_setopt_string(easy, CURLOPT_NOPROXY, "")
        curl_setopt_long(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        if let certificates = request.certificates {
            for option in [CURLOPT_CAINFO_BLOB, CURLOPT_PROXY_CAINFO_BLOB] {
                curl_setopt_blob(easy, option, certificates, certificates.count)
            }
            // These certificates instead of the system's, as for tunnels: libcurl would look into the system's folder as well.
            curl_setopt_string(easy, CURLOPT_CAPATH, nil)
            curl_setopt_string(easy, CURLOPT_PROXY_CAPATH, nil)
        }
        var headers = request.headers
        if request.method != "GET" {
            curl_setopt_long(easy, CURLOPT_POSTFIELDSIZE, request.body.count)
            request.body.withUnsafeBytes { bytes in
                var none: UInt8 = 0
                withUnsafeMutablePointer(to: &none) { none in
                    let source = bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0) }
                    _ = curl_setopt_pointer(easy, CURLOPT_COPYPOSTFIELDS, source ?? UnsafeMutableRawPointer(none))
                }
            }
            curl_setopt_string(easy, CURLOPT_CUSTOMREQUEST, request.method)
            // Not ours to send: the form type that libcurl assumes, and a wait for "100 Continue".
            headers.append(("Expect", ""))
            if !headers.contains(where: { $0.0.lowercased() == "content-type" }) {
                headers.append(("Content-Type", ""))
            }
        }
        for (name, value) in headers {
            headerList = curl_slist_append(headerList, "\(name):\(value.isEmpty ? "" : " \(value)")")
        }
        curl_setopt_pointer(easy, CURLOPT_HTTPHEADER, headerList)
        curl_setopt_pointer(easy, CURLOPT_ERRORBUFFER, message)
        let context = Unmanaged.passUnretained(self).toOpaque()
        curl_setopt_pointer(easy, CURLOPT_WRITEDATA, context)
        curl_setopt_callback(easy, CURLOPT_WRITEFUNCTION) { data, size, count, context in
            CurlTransfer.from(context)?.receive(data, size * count) ?? 0
        }
        if Self.usesOurOpenSSL {
            curl_setopt_pointer(
                easy, CURLOPT_SSL_CTX_DATA, Unmanaged.passUnretained(certificateTimes).toOpaque())
            curl_setopt_context_callback(easy, CURLOPT_SSL_CTX_FUNCTION) { _, context, watch in
                guard let context, let watch else { return CURLE_OK }
                Unmanaged<CertificateTimeWatch>.fromOpaque(watch).takeUnretainedValue().watch(context)
                return CURLE_OK
            }
        }
        curl_setopt_pointer(easy, CURLOPT_HEADERDATA, context)
        curl_setopt_callback(easy, CURLOPT_HEADERFUNCTION) { data, size, count, context in
            CurlTransfer.from(context)?.receiveHeader(data, size * count) ?? 0
        }
    }

    private static func from(_ context: UnsafeMutableRawPointer?) -> CurlTransfer? {
        context.map { Unmanaged<CurlTransfer>.fromOpaque($0).takeUnretainedValue() }
    }

    private func receive(_ data: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
        guard body.count + count <= largestBody else {
            isTooLarge = true
            return 0
        }
        body.append(contentsOf: UnsafeRawBufferPointer(start: data, count: count))
        return count
    }

    private func receiveHeader(_ data: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
        let line = String(decoding: UnsafeRawBufferPointer(start: data, count: count), as: UTF8.self)
        // A new status line (after "100 Continue") begins a new answer.
        if line.hasPrefix("HTTP/") {
            headers = []
        } else if let first = line.utf8.first, [0x20, 0x09].contains(first), let last = headers.indices.last {
            // libcurl hands out each folded line by itself (RFC 9112, section 5.2).
            headers[last].1 += " \(line.trimmingWhitespace())"
        } else if let colon = line.firstIndex(of: ":") {
            let value = String(line[line.index(after: colon)...]).trimmingWhitespace()
            headers.append((String(line[..<colon]), value))
        }
        return count
    }

    /// What came of it, once libcurl has finished with `code`.
    func outcome(_ code: CURLcode) -> Result<HTTPResponse, Failure> {
        guard code == CURLE_OK else {
            if isTooLarge {
                return .failure(
                    Failure(
                        .protocolMismatch, "cannot \(request.purpose)",
                        why: "\(request.authority) answered with more than \(largestBody) bytes"))
            }
            var proxyStatus = 0
            curl_getinfo_long(easy, CURLINFO_HTTP_CONNECTCODE, &proxyStatus)
            let text = String(cString: message)
            return .failure(
                CurlFailure(
                    code: code, message: text.isEmpty ? String(cString: curl_easy_strerror(code)) : text,
                    proxyStatus: proxyStatus, certificateTime: certificateTimes.found, request: request
                ).failure)
        }
        var status = 0
        curl_getinfo_long(easy, CURLINFO_RESPONSE_CODE, &status)
        return .success(HTTPResponse(status: status, headers: headers, body: body))
    }
}

extension Duration {
    /// Whole milliseconds, rounded up: a timeout of half a millisecond must not become "none".
    var milliseconds: Int {
        let (seconds, attoseconds) = components
        return Int(seconds) * 1_000 + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
