import Failures

/// Takes secrets out of foreign text: a service, an endpoint or a proxy may repeat what it was sent.
///
/// A value knows the secrets of one request, or of one tunnel for its whole life. It holds them as they are, since nothing less
/// recognises them in whatever is said later; what they were part of (the signed URL, a header) it does not hold.
public struct Redaction: Sendable, Hashable {
    private var secrets: [String]

    /// Knows no secrets, only the names that precede them.
    public static let none = Redaction([])

    /// What is shorter than eight bytes is no secret.
    public init(_ secrets: [String?]) {
        self.secrets = []
        add(secrets)
    }

    /// Learns more secrets: those of a request that is signed again.
    public mutating func add(_ others: [String?]) {
        for case let secret? in others where secret.utf8.count >= SecretWindows.length && !secrets.contains(secret) {
            secrets.append(secret)
        }
    }

    // MARK: Use

    /// The text as messages may carry it: an excerpt on one line, without the secrets, and without what names of secrets precede.
    public func text(_ text: String, limit: Int = 1_000) -> String {
        guard !text.isEmpty else { return "" }
        return ForeignText.excerpt(Self.withoutNamed(removing(from: text)), limit: limit)
    }

    /// The id of a request, which CloudTrail's event carries as well. Nil for anything that is none, such as a secret.
    public func requestID(_ text: String?) -> String? {
        guard let text = text?.trimmingWhitespace(), Self.isRequestID(text) else { return nil }
        return SecretWindows.areIn(text, of: secrets) ? nil : text
    }

    /// A UUID with most services, else letters, digits, hyphens and underscores.
    private static func isRequestID(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 64
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    /// A failure that may repeat foreign text in any of its parts.
    public func failure(_ failure: Failure) -> Failure {
        func clean(_ text: String) -> String { ForeignText.line(Self.withoutNamed(removing(from: text)), limit: 2_000) }
        var copy = failure
        copy.what = clean(failure.what)
        copy.why = clean(failure.why)
        copy.hint = failure.hint.map(clean)
        return copy
    }

    /// The bytes without the secrets and without what is left of one that was cut.
    public func removing(from bytes: [UInt8]) -> [UInt8] {
        guard !secrets.isEmpty, bytes.count >= SecretWindows.length else { return bytes }
        return SecretWindows(secrets).removed(from: bytes)
    }

    /// The same of text.
    public func removing(from text: String) -> String {
        guard !secrets.isEmpty, text.utf8.count >= SecretWindows.length else { return text }
        return String(decoding: removing(from: Array(text.utf8)), as: UTF8.self)
    }

    /// For many texts, at the price of one.
    public var windows: SecretWindows { SecretWindows(secrets) }

    // MARK: Names of secrets

    /// What stands before a secret of a presigned URL, a header or a credential document, however it is written
    /// (`X-Amz-Signature=`, `"x-amz-security-token":"`, `X-Amz-Credential%3D`, `aws_session_token = `).
    private static let names = [
        "x-amz-signature", "x-amz-security-token", "x-amz-credential", "x-amz-sso_bearer_token",
        "x-aws-ec2-metadata-token", "aws_secret_access_key", "aws_session_token", "secretaccesskey", "sessiontoken",
        "authorization",
    ]
    /// Of an `Authorization` header; the word alone stands in many a sentence.
    private static let assignments = ["signature="]
    /// What may stand before the secret of an `Authorization` (RFC 9110, section 11.4).
    private static let schemes = ["basic", "bearer", "digest", "negotiate", "aws4-hmac-sha256"]

    private static func withoutNamed(_ text: String) -> String {
        let bytes = Array(text.utf8)
        let lower = bytes.map { 65...90 ~= $0 ? $0 + 32 : $0 }
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            guard let start = valueStart(lower[index...]) else {
                result.append(bytes[index])
                index += 1
                continue
            }
            result += bytes[index..<start.nameEnd]
            result += "=…".utf8
            index = valueEnd(lower[start.value...])
            let value = lower[start.value..<index]
            if schemes.contains(where: { value.elementsEqual($0.utf8) }) {
                index = valueEnd(lower[index...].drop { $0 == UInt8(ascii: " ") })
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Where the name of a secret ends that `text`, in lower case, begins with, and where its value begins.
    private static func valueStart(_ text: ArraySlice<UInt8>) -> (nameEnd: Int, value: Int)? {
        guard let first = text.first, "asx".utf8.contains(first) else { return nil }
        if let word = assignments.first(where: { text.starts(with: $0.utf8) }) {
            let value = text.startIndex + word.utf8.count
            return (value - 1, value)
        }
        guard let name = names.first(where: { text.starts(with: $0.utf8) }) else { return nil }
        let nameEnd = text.startIndex + name.utf8.count
        var rest = text[nameEnd...]
        while let length = separatorLength(rest) { rest = rest.dropFirst(length) }
        // Some names are words of sentences too; a blank alone after one of these is no sign of a value.
        let isName = name.hasPrefix("x-") || text[nameEnd..<rest.startIndex].contains { $0 != UInt8(ascii: " ") }
        return isName && rest.startIndex > nameEnd ? (nameEnd, rest.startIndex) : nil
    }

    private static func separatorLength(_ text: ArraySlice<UInt8>) -> Int? {
        if let first = text.first, #"=:"'\ "#.utf8.contains(first) { return 1 }
        return ["%3d", "%3a", "%22", "%20"].contains { text.starts(with: $0.utf8) } ? 3 : nil
    }

    /// Where a value ends that begins with `text`: what signatures, tokens and their encodings in URLs and JSON are made of. Bytes
    /// beyond ASCII are those of "…", where a part of it was taken out before.
    private static func valueEnd(_ text: ArraySlice<UInt8>) -> Int {
        var index = text.startIndex
        while index < text.endIndex {
            switch text[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...: index += 1
            case let byte where "+/=_-.~%".utf8.contains(byte): index += 1
            case UInt8(ascii: "\\") where text[index...].starts(with: "\\/".utf8): index += 2
            default: return index
            }
        }
        return index
    }
}

extension Redaction: CustomStringConvertible, CustomReflectable {
    public var description: String { "\(secrets.count) secrets" }
    public var customMirror: Mirror { Mirror(self, children: ["secrets": secrets.count]) }
}

/// Finds secrets by all runs of eight of their bytes, in any case of letters, as they are and as URLs and JSON write them: one
/// that was cut at either end, or broken over lines, is found as well.
public struct SecretWindows: Sendable {
    static let length = 8

    private var windows: Set<UInt64> = []

    public init(_ secrets: [String]) {
        for secret in secrets {
            let encoded = PercentEncoding.encode(secret)
            var forms: Set = [secret]
            if encoded != secret {
                forms.formUnion([encoded, PercentEncoding.encode(encoded)])
                forms.insert(secret.split(separator: "/", omittingEmptySubsequences: false).joined(separator: #"\/"#))
            }
            for form in forms { Self.slide(Array(form.utf8)) { _, window in windows.insert(window) } }
        }
    }

    /// The text without the secrets; "…" stands for each.
    public func removed(from text: String) -> String {
        windows.isEmpty ? text : String(decoding: removed(from: Array(text.utf8)), as: UTF8.self)
    }

    /// The same of bytes.
    public func removed(from bytes: [UInt8]) -> [UInt8] {
        guard !windows.isEmpty else { return bytes }
        var isSecret: [Bool] = []
        Self.slide(bytes) { end, window in
            guard windows.contains(window) else { return }
            if isSecret.isEmpty { isSecret = [Bool](repeating: false, count: bytes.count) }
            for index in (end - Self.length + 1)...end { isSecret[index] = true }
        }
        guard !isSecret.isEmpty else { return bytes }
        var result: [UInt8] = []
        var wasSecret = false
        for (byte, isSecret) in zip(bytes, isSecret) {
            if !isSecret { result.append(byte) } else if !wasSecret { result += "…".utf8 }
            wasSecret = isSecret
        }
        return result
    }

    /// The same question of a text that needs no encoding, without the work that it takes to remove: each tunnel has such a one.
    static func areIn(_ text: String, of secrets: [String]) -> Bool {
        var windows: Set<UInt64> = []
        slide(Array(text.utf8)) { _, window in windows.insert(window) }
        guard !windows.isEmpty else { return false }
        return secrets.contains { secret in
            var isFound = false
            slide(Array(secret.utf8)) { _, window in isFound = isFound || windows.contains(window) }
            return isFound
        }
    }

    /// Each run of eight bytes, letters in lower case, with the index of its last byte.
    private static func slide(_ bytes: [UInt8], _ body: (Int, UInt64) -> Void) {
        var window: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            window = window << 8 | UInt64(65...90 ~= byte ? byte + 32 : byte)
            if index >= length - 1 { body(index, window) }
        }
    }
}
