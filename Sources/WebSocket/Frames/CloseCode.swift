/// The number in a Close frame that says why a connection ends (RFC 6455, section 7.4, and IANA's registry of
/// WebSocket close codes).
public struct CloseCode: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let normal = Self(rawValue: 1000)
    public static let goingAway = Self(rawValue: 1001)
    public static let protocolError = Self(rawValue: 1002)
    public static let unsupportedData = Self(rawValue: 1003)
    public static let invalidPayload = Self(rawValue: 1007)
    public static let messageTooBig = Self(rawValue: 1009)
    public static let internalError = Self(rawValue: 1011)

    /// Whether this code may stand in a Close frame: the registered ones (1000–1003, 1007–1014) and the ranges for
    /// libraries and applications (3000–4999). 1004 is reserved; 1005, 1006 and 1015 are only names for what was
    /// seen locally; all others are undefined (RFC 6455, sections 7.4.1 and 7.4.2).
    public var mayBeSent: Bool {
        switch rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}

extension CloseCode: CustomStringConvertible {
    public var description: String { String(rawValue) }
}

/// What the peer's Close frame said, verbatim: what a user is shown.
public struct CloseFrame: Sendable, Hashable {
    /// Nil where the frame was empty.
    public var code: CloseCode?
    /// Empty where none was given.
    public var reason: String

    public init(code: CloseCode?, reason: String = "") {
        self.code = code
        self.reason = reason
    }
}

extension CloseFrame {
    /// Reads a Close frame's payload (RFC 6455, section 5.5.1).
    init(payload: [UInt8]) throws(ProtocolViolation) {
        guard let high = payload.first else {
            self.init(code: nil)
            return
        }
        guard payload.count >= 2 else { throw .closePayloadOfOneByte }
        let code = CloseCode(rawValue: UInt16(high) << 8 | UInt16(payload[1]))
        guard code.mayBeSent else { throw .invalidCloseCode(code.rawValue) }
        let reason = payload.dropFirst(2)
        var validator = UTF8Validator()
        guard reason.withUnsafeBytes({ validator.consume($0) }), validator.isComplete else {
            throw .closeReasonNotUTF8
        }
        self.init(code: code, reason: String(decoding: reason, as: UTF8.self))
    }

    /// The payload that says this. A code that may not be sent means "no code was given": the payload is empty. A
    /// reason that is too long is cut, never inside a character.
    var payload: [UInt8] {
        guard let code, code.mayBeSent else { return [] }
        var payload = [UInt8(code.rawValue >> 8), UInt8(code.rawValue & 0xFF)]
        for scalar in reason.unicodeScalars {
            guard payload.count + scalar.utf8.count <= FrameHeader.maximumControlPayload else { break }
            payload.append(contentsOf: scalar.utf8)
        }
        return payload
    }
}
