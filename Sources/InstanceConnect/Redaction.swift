import AWS

/// Takes secrets of presigned URLs out of foreign text: a service may repeat what it was sent.
enum Redaction {
    private static let secrets = ["x-amz-signature", "x-amz-security-token", "x-amz-credential"]

    /// The text as messages may carry it, on one line.
    static func text(_ text: String, limit: Int = 1_000) -> String {
        var result: [UInt8] = []
        let bytes = Array(text.utf8)
        let lower = bytes.map { 65...90 ~= $0 ? $0 + 32 : $0 }
        var index = 0
        while index < bytes.count {
            guard let name = secrets.first(where: { lower[index...].starts(with: $0.utf8) }) else {
                result.append(bytes[index])
                index += 1
                continue
            }
            result += bytes[index..<index + name.utf8.count]
            index += name.utf8.count
            let valueStart = bytes[index...].drop { $0 == UInt8(ascii: "=") || $0 == UInt8(ascii: ":") || $0 == 32 }
            guard valueStart.startIndex > index else { continue }
            result += Array("=…".utf8)
            index = valueStart.drop { !isEnd($0) }.startIndex
        }
        return Text.excerpt(String(decoding: result, as: UTF8.self), limit: limit)
    }

    private static func isEnd(_ byte: UInt8) -> Bool {
        byte <= 32 || [UInt8(ascii: "&"), UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "<")].contains(byte)
    }
}
