import Glibc

/// Splits a stream of bytes into lines. Knows no descriptors, takes the bytes in any split, and hands out one line at a
/// time, so that what follows a line can be left to somebody else (after `connect` it is no line any more).
public struct LineFraming: Sendable {
    public enum Line: Hashable, Sendable {
        /// A line, without its newline.
        case line([UInt8])
        /// A line over the cap. Told once, as soon as it is known; the rest of it is skipped to its newline.
        case tooLong
    }

    /// The most bytes of a line, its newline not counted.
    public let maximumLength: Int
    private var buffer: [UInt8] = []
    /// Where the first line that was not handed out begins.
    private var start = 0
    /// Up to where there is surely no newline: each byte is looked at once, however it trickles in.
    private var scanned = 0
    private var skipping = false

    public init(maximumLength: Int = ControlWire.maximumLineLength) {
        self.maximumLength = maximumLength
    }

    /// How many bytes wait to be handed out.
    public var pending: Int { buffer.count - start }

    public mutating func append(_ bytes: some Collection<UInt8>) {
        buffer.append(contentsOf: bytes)
    }

    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        buffer.append(contentsOf: bytes)
    }

    /// The next line, or nil when more bytes are needed.
    public mutating func next() -> Line? {
        if skipping {
            guard let end = newline() else {
                discard(to: buffer.count)
                return nil
            }
            discard(to: end + 1)
            skipping = false
        }
        guard let end = newline() else {
            guard pending > maximumLength else { return nil }
            discard(to: buffer.count)
            skipping = true
            return .tooLong
        }
        guard end - start <= maximumLength else {
            discard(to: end + 1)
            return .tooLong
        }
        let line = Array(buffer[start..<end])
        discard(to: end + 1)
        return .line(line)
    }

    /// All bytes that were not handed out as lines, which now belong to the caller.
    public mutating func takeRest() -> [UInt8] {
        let rest = Array(buffer[start...])
        discard(to: buffer.count)
        return rest
    }

    private mutating func newline() -> Int? {
        let from = max(start, scanned)
        guard from < buffer.count else { return nil }
        let found = buffer.withUnsafeBytes { bytes -> Int? in
            guard let base = bytes.baseAddress,
                let hit = memchr(base + from, CInt(ControlWire.newline), bytes.count - from)
            else { return nil }
            return UnsafeRawPointer(hit) - base
        }
        scanned = found ?? buffer.count
        return found
    }

    private mutating func discard(to index: Int) {
        start = index
        if start == buffer.count {
            buffer.removeAll(keepingCapacity: buffer.capacity <= 64 << 10)
            start = 0
            scanned = 0
        } else if start > 64 << 10 {
            buffer.removeFirst(start)
            scanned = max(0, scanned - start)
            start = 0
        }
    }
}
