/// Takes secrets out of foreign text: a service may repeat what it was sent.
public enum Redaction {
    /// What stands before a secret of a presigned URL or a signed header, however it is written (`X-Amz-Signature=`,
    /// `"x-amz-security-token":"`, `X-Amz-Credential%3D`).
    private static let names = ["x-amz-signature", "x-amz-security-token", "x-amz-credential"]
    /// Of an `Authorization` header; the word alone stands in many a sentence.
    private static let assignments = ["signature="]

    /// The text as messages may carry it, on one line, without what names of secrets precede.
    public static func text(_ text: String, limit: Int = 1_000) -> String {
        var result: [UInt8] = []
        let bytes = Array(text.utf8)
        let lower = bytes.map { 65...90 ~= $0 ? $0 + 32 : $0 }
        var index = 0
        while index < bytes.count {
            guard let start = valueStart(lower[index...]) else {
                result.append(bytes[index])
                index += 1
                continue
            }
            result += bytes[index..<start.nameEnd]
            result += Array("=…".utf8)
            index = lower[start.value...].drop(while: isValue).startIndex
        }
        return Text.excerpt(String(decoding: result, as: UTF8.self), limit: limit)
    }

    /// Where the name of a secret ends that `text`, in lower case, begins with, and where its value begins.
    private static func valueStart(_ text: ArraySlice<UInt8>) -> (nameEnd: Int, value: Int)? {
        if let word = assignments.first(where: { text.starts(with: $0.utf8) }) {
            let value = text.startIndex + word.utf8.count
            return (value - 1, value)
        }
        guard let name = names.first(where: { text.starts(with: $0.utf8) }) else { return nil }
        let nameEnd = text.startIndex + name.utf8.count
        var rest = text[nameEnd...]
        while let length = separatorLength(rest) { rest = rest.dropFirst(length) }
        return rest.startIndex > nameEnd ? (nameEnd, rest.startIndex) : nil
    }

    private static func separatorLength(_ text: ArraySlice<UInt8>) -> Int? {
        if let first = text.first, #"=:"'\ "#.utf8.contains(first) { return 1 }
        return ["%3d", "%3a", "%22", "%20"].contains { text.starts(with: $0.utf8) } ? 3 : nil
    }

    /// What signatures, tokens and their percent-encoding are made of.
    private static func isValue(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "+/=_-.~%".utf8.contains(byte)
        }
    }

    /// The bytes without these secrets, as they are and as URLs and JSON write them. What is shorter than eight bytes is none.
    public static func removing(_ secrets: [String], from bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for secret in secrets where secret.utf8.count >= 8 {
            let encoded = PercentEncoding.encode(secret)
            var forms = [
                secret, encoded, PercentEncoding.encode(encoded),
                secret.split(separator: "/", omittingEmptySubsequences: false).joined(separator: #"\/"#),
            ]
            forms.sort { $0.utf8.count > $1.utf8.count }
            for form in forms { bytes = replacing(Array(form.utf8), in: bytes) }
        }
        return bytes
    }

    /// The same of text.
    public static func removing(_ secrets: [String], from text: String) -> String {
        String(decoding: removing(secrets, from: Array(text.utf8)), as: UTF8.self)
    }

    private static func replacing(_ needle: [UInt8], in bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var rest = bytes[...]
        while let at = rest.firstIndex(of: needle[0]) {
            result += rest[..<at]
            if rest[at...].starts(with: needle) {
                result += "…".utf8
                rest = rest[(at + needle.count)...]
            } else {
                result.append(rest[at])
                rest = rest[(at + 1)...]
            }
        }
        return result + rest
    }
}
