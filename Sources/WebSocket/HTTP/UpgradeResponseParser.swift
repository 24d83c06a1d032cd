/// Reads a server's answer to an ``UpgradeRequest`` (RFC 6455, section 4.1), split anywhere. No I/O and no clock: the
/// deadline is the caller's.
public struct UpgradeResponseParser: Sendable {
    public enum Outcome: Sendable, Hashable {
        case needMore
        /// The connection is a WebSocket now. Its first bytes stand in the buffer that was fed last, from `leftover` on.
        case accepted(HTTPResponseHead, leftover: Int)
        /// The server answered with another status. The body is at most 64 KiB, cut there if it was longer.
        case refused(HTTPResponseHead, body: [UInt8])
        /// What came is no valid answer; the text says why, to be read after "the answer to the upgrade is not valid: ".
        case violation(String)
    }

    private enum Stage {
        case head(HTTPHeadReader)
        case body(HTTPResponseHead, HTTPBodyReader)
        case done
    }

    private let key: String
    private var stage = Stage.head(HTTPHeadReader(.response))
    /// Interim answers are passed over, but not without end.
    private var interimAnswers = 0

    public init(for request: UpgradeRequest) { key = request.key }

    /// Takes the next bytes. Once anything but `.needMore` was returned, the parser is done.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        do {
            var position = 0
            while true {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
                let current = stage
                // Taken out, so that the reader's bytes grow in place and are not copied at each call.
                stage = .done
                switch current {
                case .done:
                    return .violation("bytes came after the end")
                case .head(var reader):
                    let read = try reader.feed(rest)
                    guard let read else {
                        stage = .head(reader)
                        return .needMore
                    }
                    position += read.used
                    if let outcome = try take(head: read.head, leftover: position) { return outcome }
                case .body(let head, var reader):
                    try reader.feed(rest)
                    guard reader.isDone else {
                        stage = .body(head, reader)
                        return .needMore
                    }
                    return .refused(head, body: reader.body)
                }
            }
        } catch {
            return .violation(error.sentence)
        }
    }

    /// The server closed the connection. A refusal's body may end so; nothing else may.
    public mutating func endOfInput() -> Outcome {
        defer { stage = .done }
        switch stage {
        case .done: return .violation("the connection ended")
        case .head: return .violation("the connection ended before the answer did")
        // A refusal cut short still says more than nothing: status and what came of its body.
        case .body(let head, let reader): return .refused(head, body: reader.body)
        }
    }

    private mutating func take(head bytes: [UInt8], leftover: Int) throws(MalformedHTTP) -> Outcome? {
        let head = try HTTPResponseHead(parsing: bytes)
        switch head.status {
        case 101:
            try check(head)
            return .accepted(head, leftover: leftover)
        case 100..<200:
            interimAnswers += 1
            guard interimAnswers <= 8 else { throw MalformedHTTP("there is no end of interim answers") }
            stage = .head(HTTPHeadReader(.response))
        default:
            stage = .body(head, try HTTPBodyReader(head: head))
        }
        return nil
    }

    /// The rules of section 4.1 on the fields of a 101.
    private func check(_ head: HTTPResponseHead) throws(MalformedHTTP) {
        let headers = head.headers
        guard headers.tokens("Upgrade") == ["websocket"] else {
            throw MalformedHTTP("status 101 without \"Upgrade: websocket\"")
        }
        guard headers.tokens("Connection").contains("upgrade") else {
            throw MalformedHTTP("status 101 without \"Connection: Upgrade\"")
        }
        guard headers.values("Sec-WebSocket-Accept") == [Upgrade.accept(forKey: key)] else {
            throw MalformedHTTP("Sec-WebSocket-Accept is missing or wrong")
        }
        guard headers.values("Sec-WebSocket-Extensions").allSatisfy(\.isEmpty) else {
            throw MalformedHTTP("an extension that was not offered")
        }
        guard headers.values("Sec-WebSocket-Protocol").isEmpty else {
            throw MalformedHTTP("a subprotocol that was not offered")
        }
    }
}
