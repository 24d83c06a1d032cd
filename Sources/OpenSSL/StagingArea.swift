/// Ciphertext on its way between a socket and OpenSSL: memory lent by the caller, and its filled part.
public struct StagingArea {
    fileprivate(set) var memory: UnsafeMutableRawBufferPointer?
    /// The filled part is `start..<end`.
    public fileprivate(set) var start = 0
    public fileprivate(set) var end = 0

    public var isEmpty: Bool { start == end }

    /// What is free behind the filled part; empty when no memory is lent.
    public var free: UnsafeMutableRawBufferPointer {
        guard let memory else { return UnsafeMutableRawBufferPointer(start: nil, count: 0) }
        return UnsafeMutableRawBufferPointer(rebasing: memory[end...])
    }

    public var filled: UnsafeRawBufferPointer {
        guard let memory else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(rebasing: memory[start..<end])
    }

    /// Lends memory, which must stay valid until `takeBack`.
    public mutating func lend(_ memory: UnsafeMutableRawBufferPointer) {
        precondition(self.memory == nil, "memory is lent already")
        self.memory = memory
        start = 0
        end = 0
    }

    /// Ends the loan. Only when nothing is left in it.
    public mutating func takeBack() {
        precondition(isEmpty, "bytes would be lost")
        memory = nil
    }

    /// `count` bytes were put into ``free``.
    public mutating func append(_ count: Int) { end += count }

    /// `count` bytes of ``filled`` were used.
    public mutating func consume(_ count: Int) {
        start += count
        if start == end {
            start = 0
            end = 0
        }
    }
}
