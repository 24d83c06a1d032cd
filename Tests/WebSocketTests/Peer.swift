import WebSocket

/// What a state machine made of the peer's bytes, independent of how they were split.
enum Heard: Hashable {
    case text([UInt8])
    case binary([UInt8])
    /// The beginning of a message whose end did not come.
    case unfinished([UInt8])
    case ping([UInt8])
    case pong([UInt8])
    case close(UInt16?, String)
    case violation(ProtocolViolation)

    static func text(_ string: String) -> Heard { .text(Array(string.utf8)) }
}

extension WebSocketStateMachine {
    /// Feeds `bytes` in parts of `size` bytes, and joins slices to messages.
    mutating func hear(_ bytes: [UInt8], partsOf size: Int = .max) -> [Heard] {
        hear(
            stride(from: 0, to: bytes.count, by: min(size, max(1, bytes.count))).map {
                Array(bytes[$0..<min(bytes.count, $0 + min(size, bytes.count))])
            })
    }

    mutating func hear(_ parts: [[UInt8]]) -> [Heard] {
        var heard: [Heard] = []
        var message: [UInt8] = []
        for var part in parts {
            part.withUnsafeMutableBytes { buffer in
                var offset = 0
                while let event = next(in: buffer, at: &offset) {
                    switch event {
                    case .data(let range, let kind, let endOfMessage):
                        message += buffer[range]
                        guard endOfMessage else { continue }
                        heard.append(kind == .text ? .text(message) : .binary(message))
                        message = []
                    case .ping(let payload): heard.append(.ping(payload))
                    case .pong(let payload): heard.append(.pong(payload))
                    case .close(let frame): heard.append(.close(frame.code?.rawValue, frame.reason))
                    case .violation(let violation): heard.append(.violation(violation))
                    }
                }
                assert(offset == buffer.count)
            }
        }
        return message.isEmpty ? heard : heard + [.unfinished(message)]
    }
}

/// A server's frame, as a client receives it.
func frame(_ opcode: Opcode, _ payload: [UInt8] = [], final: Bool = true) -> [UInt8] {
    FrameEncoder.frame(opcode, isFinal: final, payload: payload, maskingKey: nil)
}

func frame(_ opcode: Opcode, _ payload: String, final: Bool = true) -> [UInt8] {
    frame(opcode, Array(payload.utf8), final: final)
}

func closeFrame(_ code: UInt16, _ reason: [UInt8] = []) -> [UInt8] {
    frame(.close, [UInt8(code >> 8), UInt8(code & 0xFF)] + reason)
}

/// What a client hears of `bytes`: the same however they are split, which is checked for single bytes, parts of
/// three and the whole. A message that does not end is left out.
func clientHears(_ bytes: [UInt8]...) -> [Heard] {
    let all = bytes.flatMap { $0 }
    let results = [1, 3, Int.max].map { size in
        var client = WebSocketStateMachine(role: .client)
        return client.hear(all, partsOf: size)
    }
    // A violation ends a message early, at the end of the part it came in: only what was whole must be the same.
    let whole = results.map { $0.filter { if case .unfinished = $0 { false } else { true } } }
    return Set(whole).count == 1 ? whole[0] : [.unfinished(Array("the splits differ".utf8))]
}
