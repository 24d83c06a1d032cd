/// Reads a proxy's answer to CONNECT (RFC 9110, section 9.3.6), split anywhere. No I/O and no clock: the deadline is the
/// caller's.
public struct ConnectResponseParser: Sendable {
    public enum Outcome: Sendable, Hashable {
        case needMore
        /// The connection leads to the host that was asked for.
        case connected
        /// The proxy answered with another status; its body is left unread.
        case refused(HTTPResponseHead)
        /// What came is no valid answer; the text says why, to be read after "the answer is not valid: ".
        case violation(String)
    }

    private var reader = HTTPHeadReader(.response)
    /// Interim answers are passed over, but not without end.
    private var interimAnswers = 0

    public init() {}

    /// Takes the next bytes. Once anything but `.needMore` was returned, the parser is done.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        do throws(MalformedHTTP) {
            var rest = bytes
            while let (bytes, used) = try reader.feed(rest) {
                rest = UnsafeRawBufferPointer(rebasing: rest[used...])
                let head = try HTTPResponseHead(parsing: bytes)
                switch head.status {
                case 101: throw MalformedHTTP("status 101 to a request that asked for no upgrade")
                case 100..<200:
                    interimAnswers += 1
                    guard interimAnswers <= 8 else { throw MalformedHTTP("there is no end of interim answers") }
                case 200..<300:
                    // A TLS server waits for its client's first words, so nobody honest has spoken yet.
                    guard rest.isEmpty else { throw MalformedHTTP("bytes came behind it") }
                    return .connected
                default: return .refused(head)
                }
            }
            return .needMore
        } catch {
            return .violation(error.sentence)
        }
    }
}
