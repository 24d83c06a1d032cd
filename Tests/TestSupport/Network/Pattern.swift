import Glibc

/// An endless stream of bytes in which every place is known, so that a receiver can tell a byte that was lost,
/// doubled or altered without keeping what was sent.
///
/// A block of noise repeats; its length is a prime, so that no buffer, frame or record size divides it.
public struct Pattern: Sendable {
    private static let length = 1_048_573
    private let block: [UInt8]

    public init(seed: UInt64 = 1) {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        block = [UInt8](unsafeUninitializedCapacity: Self.length) { buffer, filled in
            for index in 0..<Self.length {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                buffer[index] = UInt8(truncatingIfNeeded: state >> 24)
            }
            filled = Self.length
        }
    }

    /// The `count` bytes from `offset` on.
    public func bytes(_ range: Range<Int>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count)
        forEachPiece(of: range) { bytes += $0 }
        return bytes
    }

    /// Sends the first `count` bytes.
    public func send(_ count: Int, on socket: LoopbackSocket) throws {
        try forEachPiece(of: 0..<count) { try socket.write($0) }
    }

    /// Reads to the end of the stream, or until `count` bytes came, and tells how many there were.
    ///
    /// - Throws: at the first byte that is not the pattern's.
    public func verify(_ count: Int = .max, from socket: LoopbackSocket) throws -> Int {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
        defer { buffer.deallocate() }
        var offset = 0
        while offset < count {
            let got = try socket.read(
                into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, count - offset)]))
            if got == 0 { break }
            var place = 0
            var equal = true
            forEachPiece(of: offset..<offset + got) { piece in
                let part = UnsafeRawBufferPointer(rebasing: buffer[place..<place + piece.count])
                if let left = part.baseAddress, let right = piece.baseAddress {
                    equal = equal && memcmp(left, right, piece.count) == 0
                }
                place += piece.count
            }
            guard equal else { throw TestFailure("a byte after \(offset) is not the one that was sent") }
            offset += got
        }
        return offset
    }

    private func forEachPiece(of range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        try block.withUnsafeBytes { block in
            var offset = range.lowerBound
            while offset < range.upperBound {
                let start = offset % Self.length
                let end = min(Self.length, start + range.upperBound - offset)
                try body(UnsafeRawBufferPointer(rebasing: block[start..<end]))
                offset += end - start
            }
        }
    }
}
