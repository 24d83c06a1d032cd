/// A stretch of memory with a filled part: bytes come in at its end and go out at its start.
///
/// Belongs to one loop; not for sharing.
public final class Buffer {
    public let memory: UnsafeMutableRawBufferPointer
    /// The filled part: `start..<end`.
    public var start = 0
    public var end = 0

    init(capacity: Int) {
        memory = .allocate(byteCount: capacity, alignment: 64)
    }

    deinit { memory.deallocate() }

    public var count: Int { end - start }
    public var isEmpty: Bool { start == end }
    public var room: Int { memory.count - end }

    /// The filled part.
    public var filled: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: memory[start..<end]) }
    /// What is free behind it.
    public var free: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: memory[end...]) }

    /// Takes `count` bytes out at the start. An emptied buffer begins at 0 again.
    public func consume(_ count: Int) {
        start += count
        if start == end { clear() }
    }

    public func clear() {
        start = 0
        end = 0
    }
}

/// The buffers of one loop. An idle connection holds none; the pool keeps a few as long as there is traffic, so that it does
/// not allocate, and none on a loop that is quiet.
public final class BufferPool {
    /// Room for a message of 64 KiB with its WebSocket header, or for the same as TLS records.
    public static let capacity = 64 * 1_024 + 4 * 1_024
    private static let kept = 16

    private var spare: [Buffer] = []
    /// Borrowed and not given back yet. Below zero where buffers came with connections of another loop.
    public private(set) var lent = 0

    init() {}

    /// An empty buffer of ``capacity`` bytes.
    public func borrow() -> Buffer {
        lent += 1
        return spare.popLast() ?? Buffer(capacity: Self.capacity)
    }

    /// Gives back to the system what nobody has borrowed.
    func becomeQuiet() { spare = [] }

    public func giveBack(_ buffer: Buffer) {
        lent -= 1
        guard spare.count < Self.kept else { return }
        buffer.clear()
        spare.append(buffer)
    }
}
