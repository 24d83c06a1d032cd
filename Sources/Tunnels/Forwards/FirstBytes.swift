/// What a web page makes the user's own browser say to a port of this machine. A browser runs as the user, so the owner check
/// lets it in.
public enum WebClient: String, Hashable, Sendable {
    case http = "HTTP"
    case tls = "TLS"
}

/// Judges the first bytes that the client of an SSH server sends by itself. Pure; nothing waits for them, and no byte is held
/// back: an SSH client begins with `SSH-` (RFC 4253, section 4.2), a browser with a request or a ClientHello.
struct FirstBytes {
    enum Verdict: Equatable {
        /// So far it could be either.
        case undecided
        /// No web client; whatever it is, the server decides about it.
        case clear
        case web(WebClient)
    }

    /// The methods of RFC 9110 (section 9.3) and RFC 5789, and the preface of HTTP/2 (RFC 9113, section 3.4). A page cannot send
    /// another method across origins without asking first with OPTIONS.
    private static let requests: [[UInt8]] = [
        "GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PRI * HTTP/2",
    ].map { Array($0.utf8) }
    /// A record of type handshake, of any version since SSL 3.0 (RFC 8446, section 5.1).
    private static let hello: [UInt8] = [0x16, 0x03]

    /// How many bytes decide at most.
    static let longest = 12

    private var seen: [UInt8] = []

    /// Takes the next bytes; after any verdict but `.undecided` there is nothing to decide any more.
    mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        seen.append(contentsOf: bytes.prefix(Self.longest - seen.count))
        return Self.verdict(on: seen)
    }

    /// - Parameter prefix: everything that the client has sent, or at least the first ``longest`` bytes of it.
    static func verdict(on prefix: [UInt8]) -> Verdict {
        guard !prefix.isEmpty else { return .undecided }
        if prefix.starts(with: hello) { return .web(.tls) }
        if requests.contains(where: { prefix.starts(with: $0) }) { return .web(.http) }
        return (requests + [hello]).contains { $0.starts(with: prefix) } ? .undecided : .clear
    }
}
