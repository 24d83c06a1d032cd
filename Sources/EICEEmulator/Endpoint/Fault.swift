import Failures
import FoundationEssentials

/// Something that goes wrong on purpose with the next connection that comes to it.
public struct Fault: Hashable, Codable, Sendable {
    public var kind: Kind
    /// How many connections it hits; 0 for all, until it is cleared.
    public var times = 1
    /// The endpoint it is limited to. Faults of the TCP and TLS stages come before an endpoint is named and hit any.
    public var endpoint: String?
    /// Of `refuse`.
    public var status: Int?
    /// Of `refuse`.
    public var body: String?
    /// Of `close`.
    public var code: UInt16?
    /// Of `close`.
    public var reason: String?
    /// Of faults of an open tunnel: how many of the target's bytes reach the client first.
    public var after: Int?
    /// Of `raw`: the bytes to send inside TLS, in hexadecimal.
    public var bytes: String?

    public init(_ kind: Kind) { self.kind = kind }

    /// When a fault strikes.
    enum Stage: Sendable { case tcp, tls, upgrade, open }

    public enum Kind: String, Hashable, Codable, CaseIterable, Sendable {
        // Once the TCP connection is there.
        case reset
        case closeTCP = "close-tcp"
        case stallTLS = "stall-tls"
        case garbage
        // In the TLS handshake.
        case certificateExpired = "certificate-expired"
        case certificateNotYetValid = "certificate-not-yet-valid"
        case certificateWrongName = "certificate-wrong-name"
        case certificateUntrusted = "certificate-untrusted"
        // Instead of an answer to the request.
        case refuse
        case stallUpgrade = "stall-upgrade"
        case closeBeforeResponse = "close-before-response"
        case halfResponse = "half-response"
        case garbageResponse = "garbage-response"
        case badAccept = "bad-accept"
        case noUpgrade = "no-upgrade"
        case subprotocol
        // In the open tunnel.
        case close
        case text
        case masked
        case reservedBits = "reserved-bits"
        case reservedOpcode = "reserved-opcode"
        case badLength = "bad-length"
        case longControl = "long-control"
        case strayContinuation = "stray-continuation"
        case badCloseCode = "bad-close-code"
        case badCloseUTF8 = "bad-close-utf8"
        case ping
        case raw
        case drop
        case tlsEnd = "tls-end"
        case resetOpen = "reset-open"
        case garbageRecord = "garbage-record"
        case silent

        var stage: Stage {
            switch self {
            case .reset, .closeTCP, .stallTLS, .garbage: .tcp
            case .certificateExpired, .certificateNotYetValid, .certificateWrongName, .certificateUntrusted: .tls
            case .refuse, .stallUpgrade, .closeBeforeResponse, .halfResponse, .garbageResponse, .badAccept,
                .noUpgrade, .subprotocol:
                .upgrade
            case .close, .text, .masked, .reservedBits, .reservedOpcode, .badLength, .longControl, .strayContinuation,
                .badCloseCode, .badCloseUTF8, .ping, .raw, .drop, .tlsEnd, .resetOpen, .garbageRecord, .silent:
                .open
            }
        }

        /// What it does, for `--help` and the documentation.
        var explanation: String {
            switch self {
            case .reset: "resets the connection as soon as it is accepted"
            case .closeTCP: "closes the connection as soon as it is accepted"
            case .stallTLS: "accepts the connection and never answers"
            case .garbage: "answers with bytes that are no TLS"
            case .certificateExpired: "shows a certificate that has expired"
            case .certificateNotYetValid: "shows a certificate that is not valid yet"
            case .certificateWrongName: "shows a certificate for another name"
            case .certificateUntrusted: "shows a certificate of an authority of the same name that nobody trusts"
            case .refuse: "refuses the upgrade with `status` (503) and `body`"
            case .stallUpgrade: "reads the request and never answers"
            case .closeBeforeResponse: "reads the request and closes"
            case .halfResponse: "sends half of a response head and closes"
            case .garbageResponse: "answers the request with bytes that are no HTTP"
            case .badAccept: "answers 101 with a wrong Sec-WebSocket-Accept"
            case .noUpgrade: "answers the request with 200"
            case .subprotocol: "answers 101 with a subprotocol that nobody asked for"
            case .close: "closes with `code` (1011) and `reason`"
            case .text: "sends a text message"
            case .masked: "sends a masked frame"
            case .reservedBits: "sends a frame with a reserved bit set"
            case .reservedOpcode: "sends a frame with an opcode that does not exist"
            case .badLength: "sends a frame whose length is not in its shortest form"
            case .longControl: "sends a ping with 126 bytes"
            case .strayContinuation: "sends a continuation frame without a start"
            case .badCloseCode: "closes with code 1005, which may not be sent"
            case .badCloseUTF8: "closes with a reason that is no UTF-8"
            case .ping: "sends a ping, which is no fault"
            case .raw: "sends `bytes` (hexadecimal) inside TLS, as they are"
            case .drop: "ends TCP without a close frame and without TLS's close_notify"
            case .tlsEnd: "ends TLS properly, but without a close frame, and goes on reading"
            case .resetOpen: "resets the connection"
            case .garbageRecord: "sends bytes that are no TLS record"
            case .silent: "goes on holding the connection, and neither reads nor writes"
            }
        }
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case kind, times, endpoint, status, body, code, reason, after, bytes
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.strictContainer(CodingKeys.self)
        kind = try values.decode(Kind.self, forKey: .kind)
        times = try values.decodeIfPresent(Int.self, forKey: .times) ?? 1
        endpoint = try values.decodeIfPresent(String.self, forKey: .endpoint)
        status = try values.decodeIfPresent(Int.self, forKey: .status)
        body = try values.decodeIfPresent(String.self, forKey: .body)
        code = try values.decodeIfPresent(UInt16.self, forKey: .code)
        reason = try values.decodeIfPresent(String.self, forKey: .reason)
        after = try values.decodeIfPresent(Int.self, forKey: .after)
        bytes = try values.decodeIfPresent(String.self, forKey: .bytes)
        guard times >= 0, after ?? 0 >= 0, (100...999).contains(status ?? 503),
            kind != .raw || Self.hexadecimal(bytes ?? "") != nil
        else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "a value is out of range"))
        }
    }

    /// Reads `KIND`, `KIND:TIMES`, or a JSON object with the fields above.
    public init(parsing text: String) throws(Failure) {
        if text.hasPrefix("{") {
            self = try Self.decode(Array(text.utf8))
            return
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard let kind = Kind(rawValue: String(parts[0])) else {
            throw Failure(
                .usage, "cannot use the fault \(text)", why: "there is no fault \(parts[0])",
                hint: "eice-emulator --list-faults")
        }
        guard kind != .raw else {
            throw Failure(.usage, "cannot use the fault \(text)", why: #"it needs JSON: {"kind":"raw","bytes":"8a00"}"#)
        }
        self.init(kind)
        if parts.count > 1 {
            guard parts.count == 2, let times = Int(parts[1]), times >= 0 else {
                throw Failure(
                    .usage, "cannot use the fault \(text)", why: "behind the colon stands how many connections it hits")
            }
            self.times = times
        }
    }

    static func decode(_ json: [UInt8]) throws(Failure) -> Fault {
        do {
            return try JSONDecoder().decode(Fault.self, from: Data(json))
        } catch {
            let why = (error as? DecodingError)?.sentence ?? "\(error)"
            throw Failure(.usage, "cannot read the fault", why: why, hint: "eice-emulator --list-faults")
        }
    }

    static func hexadecimal(_ text: String) -> [UInt8]? {
        let digits = text.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue.map(UInt8.init) }
        guard digits.count == text.utf8.count, digits.count % 2 == 0 else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// What a fault of the open tunnel sends inside TLS; nil for those that do something else.
    /// RFC 6455, section 5, says of each why it is wrong.
    var rawFrame: [UInt8]? {
        switch kind {
        case .text: [0x81, 5] + Array("hello".utf8)
        case .masked: [0x82, 0x84, 1, 2, 3, 4, 0x6A, 0x67, 0x6F, 0x68]
        case .reservedBits: [0xC2, 4] + Array("data".utf8)
        case .reservedOpcode: [0x83, 4] + Array("data".utf8)
        case .badLength: [0x82, 126, 0, 4] + Array("data".utf8)
        case .longControl: [0x89, 126, 0, 126] + [UInt8](repeating: 0x61, count: 126)
        case .strayContinuation: [0x80, 4] + Array("data".utf8)
        case .badCloseCode: [0x88, 2, 0x03, 0xED]
        case .badCloseUTF8: [0x88, 4, 0x03, 0xE8, 0xC3, 0x28]
        case .ping: [0x89, 4] + Array("ping".utf8)
        case .raw: Self.hexadecimal(bytes ?? "") ?? []
        default: nil
        }
    }
}

/// The faults that wait for their connections, first come, first served.
struct FaultList: Sendable {
    private(set) var faults: [Fault] = []

    mutating func add(_ fault: Fault) { faults.append(fault) }

    mutating func clear() { faults = [] }

    /// The fault that hits a connection at this stage, which uses it up once.
    mutating func take(_ stage: Fault.Stage, endpoint: String? = nil) -> Fault? {
        guard
            let index = faults.firstIndex(where: {
                $0.kind.stage == stage
                    && ($0.endpoint == nil || $0.endpoint == endpoint || stage == .tcp || stage == .tls)
            })
        else { return nil }
        let fault = faults[index]
        if fault.times == 1 {
            faults.remove(at: index)
        } else if fault.times > 1 {
            faults[index].times -= 1
        }
        return fault
    }
}
