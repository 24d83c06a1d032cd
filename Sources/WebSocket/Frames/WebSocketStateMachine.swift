/// One WebSocket after its upgrade (RFC 6455): takes the peer's bytes and says what they mean, and makes the control
/// frames that we send. No socket, no clock, no randomness; owned by one connection and confined to its loop.
///
/// Data is not collected: events name slices of the caller's own buffer, so a frame costs no copy and no allocation,
/// and a message of any length costs no memory. Data frames to the peer are written by ``FrameEncoder`` while
/// ``maySendData`` holds.
///
/// The close handshake (sections 5.5.1, 7.1): after our own Close the peer's data is still delivered, since it was sent
/// before the peer saw our Close and may be the end of what a user waits for; who does not want it drops it. After
/// the peer's Close, or a violation, nothing more is delivered. The server closes the TCP connection first (section
/// 7.1.1): a client waits for that, for a limited time.
public struct WebSocketStateMachine: Sendable {
    /// What the peer's bytes meant.
    public enum Event: Sendable, Hashable {
        /// A part of a message at `range` of the buffer, unmasked and, for text, checked. The range is empty only where
        /// the message ends without more bytes.
        case data(range: Range<Int>, kind: MessageKind, endOfMessage: Bool)
        /// To be answered with ``WebSocketStateMachine/pong(for:maskingKey:)``.
        case ping([UInt8])
        case pong([UInt8])
        /// To be answered with ``WebSocketStateMachine/closeReply(maskingKey:)``. Nothing comes after it.
        case close(CloseFrame)
        /// To be answered with ``WebSocketStateMachine/close(_:reason:maskingKey:)`` and the violation's code, then the
        /// connection is closed. Nothing comes after it.
        case violation(ProtocolViolation)
    }

    public enum MessageKind: Sendable, Hashable {
        case text, binary
    }

    public let role: Role
    /// Whether a Close of ours was made.
    public private(set) var closeSent = false
    /// The peer's Close, once it came.
    public private(set) var closeReceived: CloseFrame?
    /// The rule that the peer broke, if it did.
    public private(set) var violation: ProtocolViolation?

    private let maximumMessageLength: Int
    private var decoder: FrameDecoder
    /// The frame whose payload is being read, and how much of that was.
    private var frame: FrameHeader?
    private var framePosition = 0
    /// The message that is being read, over its fragments.
    private var message: MessageKind?
    private var messageLength = 0
    private var text = UTF8Validator()
    private var controlPayload: [UInt8] = []

    /// - Parameter maximumMessageLength: in bytes; a longer message is a violation with 1009 as soon as a frame's header
    ///   announces it. A tunnel's messages are a stream and need no limit.
    public init(role: Role, maximumMessageLength: Int = .max) {
        self.role = role
        self.maximumMessageLength = maximumMessageLength
        decoder = FrameDecoder(role: role)
    }

    /// Whether data frames may be sent: not after a Close in either direction (section 5.5.1).
    public var maySendData: Bool { !closeSent && mayReceive }

    /// Whether more can come of the peer's bytes.
    public var mayReceive: Bool { closeReceived == nil && violation == nil }

    /// Whether the close handshake is complete: both Close frames are on their way.
    public var isClosed: Bool { closeSent && closeReceived != nil }

    // MARK: Receiving

    /// Takes the peer's next bytes from `buffer` at `offset`, and moves `offset` behind what it took. Call it until it
    /// returns nil; then all of `buffer` is taken. Bytes may be split over buffers anywhere.
    ///
    /// A server's payload is unmasked in place, which is why the buffer must be mutable.
    public mutating func next(in buffer: UnsafeMutableRawBufferPointer, at offset: inout Int) -> Event? {
        while mayReceive {
            do {
                guard let event = try step(in: buffer, at: &offset) else {
                    if offset < buffer.count { continue }
                    // A frame without payload is complete with its header.
                    if let frame, frame.payloadLength == 0 { continue }
                    return nil
                }
                return event
            } catch {
                violation = error
                offset = buffer.count
                return .violation(error)
            }
        }
        offset = buffer.count
        return nil
    }

    /// Takes one header, or what there is of one payload.
    private mutating func step(
        in buffer: UnsafeMutableRawBufferPointer, at offset: inout Int
    ) throws(ProtocolViolation) -> Event? {
        guard let header = frame else {
            frame = try decoder.nextHeader(in: UnsafeRawBufferPointer(buffer), at: &offset)
            framePosition = 0
            if let frame { try begin(frame) }
            return nil
        }
        let count = min(header.payloadLength - framePosition, buffer.count - offset)
        let range = offset..<offset + count
        let slice = UnsafeMutableRawBufferPointer(rebasing: buffer[range])
        if let key = header.maskingKey { Masking.apply(key, to: slice, offset: framePosition) }
        offset += count
        framePosition += count
        let frameEnds = framePosition == header.payloadLength
        if frameEnds { frame = nil }
        if header.opcode.isControl {
            controlPayload.append(contentsOf: slice)
            return frameEnds ? try controlEvent(header.opcode) : nil
        }
        return try dataEvent(range, UnsafeRawBufferPointer(slice), endOfMessage: frameEnds && header.isFinal)
    }

    /// The rules about the order of frames (section 5.4).
    private mutating func begin(_ header: FrameHeader) throws(ProtocolViolation) {
        switch header.opcode {
        case .continuation:
            guard message != nil else { throw .continuationWithoutStart }
        case .text, .binary:
            guard message == nil else { throw .newMessageInsideFragments }
            message = header.opcode == .text ? .text : .binary
            messageLength = 0
        case .close, .ping, .pong:
            controlPayload.removeAll(keepingCapacity: true)
            return
        }
        guard header.payloadLength <= maximumMessageLength - messageLength else {
            throw .messageTooLong(limit: maximumMessageLength)
        }
        // The limit may be Int.max, and then the sum of the fragments' lengths is of no interest but must not trap.
        messageLength = maximumMessageLength == .max ? 0 : messageLength + header.payloadLength
    }

    private mutating func dataEvent(
        _ range: Range<Int>, _ slice: UnsafeRawBufferPointer, endOfMessage: Bool
    ) throws(ProtocolViolation) -> Event? {
        guard let kind = message else { return nil }
        if kind == .text {
            guard text.consume(slice), text.isComplete || !endOfMessage else { throw .textNotUTF8 }
        }
        if endOfMessage { message = nil }
        return range.isEmpty && !endOfMessage ? nil : .data(range: range, kind: kind, endOfMessage: endOfMessage)
    }

    private mutating func controlEvent(_ opcode: Opcode) throws(ProtocolViolation) -> Event? {
        switch opcode {
        case .ping: return .ping(controlPayload)
        case .pong: return .pong(controlPayload)
        default:
            let close = try CloseFrame(payload: controlPayload)
            closeReceived = close
            return .close(close)
        }
    }

    // MARK: Sending

    /// Our Close frame, or nil where one was made before. From here on no data may be sent.
    ///
    /// - Parameters:
    ///   - code: nil, or one that may not be sent, makes an empty Close frame.
    ///   - reason: cut after 123 bytes of UTF-8.
    ///   - maskingKey: a fresh random key; a server's frames are not masked and it is not used.
    public mutating func close(_ code: CloseCode?, reason: String = "", maskingKey: UInt32) -> [UInt8]? {
        guard !closeSent else { return nil }
        closeSent = true
        return control(.close, CloseFrame(code: code, reason: reason).payload, maskingKey)
    }

    /// The answer to the peer's Close: its code, echoed (section 5.5.1). Nil where no Close came or ours was made
    /// before, so that the handshake is complete.
    public mutating func closeReply(maskingKey: UInt32) -> [UInt8]? {
        guard let closeReceived else { return nil }
        return close(closeReceived.code, maskingKey: maskingKey)
    }

    /// The answer to a ping (section 5.5.3): its payload. Nil after a Close in either direction: who sees our Close
    /// discards what follows it.
    public func pong(for payload: [UInt8], maskingKey: UInt32) -> [UInt8]? {
        maySendData ? control(.pong, payload, maskingKey) : nil
    }

    /// A ping with at most 125 bytes of payload, to be sent between any two frames; the rest is cut off. Nil after a
    /// Close in either direction.
    public func ping(_ payload: [UInt8] = [], maskingKey: UInt32) -> [UInt8]? {
        maySendData ? control(.ping, payload, maskingKey) : nil
    }

    private func control(_ opcode: Opcode, _ payload: [UInt8], _ maskingKey: UInt32) -> [UInt8] {
        FrameEncoder.frame(
            opcode, payload: Array(payload.prefix(FrameHeader.maximumControlPayload)),
            maskingKey: role == .client ? maskingKey : nil)
    }
}
