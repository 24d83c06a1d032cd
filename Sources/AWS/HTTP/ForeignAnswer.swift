import Failures

/// What comes back from a service's address and is no answer of the service: the page of a firewall, a proxy or a captive
/// portal.
enum ForeignAnswer {
    /// - Parameter reason: how the answer differs, as a sentence about "it".
    static func failure(_ purpose: String, _ reason: String) -> Failure {
        Failure(.protocolMismatch, "cannot \(purpose)", why: "the answer is not from AWS: \(reason)", hint: hint)
    }

    static let hint = "a proxy or captive portal may answer instead: check HTTPS_PROXY, or log in to the network"

    /// Whether a body is markup, such as HTML, where AWS would send an error of its own.
    static func isPage(_ body: [UInt8]) -> Bool {
        let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let text = body.starts(with: byteOrderMark) ? body.dropFirst(3) : body[...]
        return text.first { !" \t\r\n".utf8.contains($0) } == UInt8(ascii: "<")
    }
}
