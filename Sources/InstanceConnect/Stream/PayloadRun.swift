/// Payload of one or more frames, joined within the buffer that the frames were decrypted into, so that one write takes all of it.
struct PayloadRun: Equatable {
    private(set) var range = 0..<0

    var isEmpty: Bool { range.isEmpty }
    var count: Int { range.count }

    /// Adds a frame's payload, which lies behind the run in `memory`, across that frame's header: the smaller of the two moves.
    mutating func join(_ payload: Range<Int>, in memory: UnsafeMutableRawBufferPointer) {
        precondition(payload.lowerBound >= range.upperBound, "a frame lies before one that came earlier")
        guard payload.lowerBound > range.upperBound, let base = memory.baseAddress else {
            range = range.lowerBound..<payload.upperBound
            return
        }
        let source: Range<Int>
        let destination: Int
        if range.count < payload.count {
            source = range
            destination = payload.lowerBound - range.count
            range = destination..<payload.upperBound
        } else {
            source = payload
            destination = range.upperBound
            range = range.lowerBound..<destination + payload.count
        }
        (base + destination).copyMemory(from: base + source.lowerBound, byteCount: source.count)
    }

    /// The first `count` bytes have left.
    mutating func consume(_ count: Int) { range = range.lowerBound + count..<range.upperBound }
}
