/// Collects the head of an HTTP message, up to the empty line, out of parts split anywhere.
struct HTTPHeadReader: Sendable {
    /// The longest head, in bytes: what common servers allow for one.
    static let limit = 16 * 1_024

    private var collected: [UInt8] = []
    /// What every message of this kind begins with; a peer that speaks something else is noticed at once.
    private let prefix: [UInt8]

    init(prefix: String = "") { self.prefix = Array(prefix.utf8) }

    /// Takes the next part.
    ///
    /// - Returns: the head without its empty line, and how many bytes of `bytes` belong to it; nil when the head is not
    ///   complete and all of `bytes` was taken.
    mutating func feed(_ bytes: UnsafeRawBufferPointer) throws(MalformedHTTP) -> (head: [UInt8], used: Int)? {
        let before = collected.count
        // No more than the limit is kept whatever comes.
        collected.append(contentsOf: bytes.prefix(Self.limit + 1 - before))
        guard zip(collected, prefix).allSatisfy(==) else { throw MalformedHTTP("this is not HTTP") }
        guard let end = endOfHead(from: max(0, before - 3)) else {
            guard collected.count <= Self.limit else {
                throw MalformedHTTP("the header section is longer than \(Self.limit) bytes")
            }
            return nil
        }
        let head = Array(collected[..<(end - 2)])
        collected = []
        return (head, end - before)
    }

    /// The index behind CR LF CR LF.
    private func endOfHead(from start: Int) -> Int? {
        var index = start
        while index + 4 <= collected.count {
            if collected[index] == .carriageReturn, collected[index + 1] == .lineFeed,
                collected[index + 2] == .carriageReturn, collected[index + 3] == .lineFeed
            {
                return index + 4
            }
            index += 1
        }
        return nil
    }
}
