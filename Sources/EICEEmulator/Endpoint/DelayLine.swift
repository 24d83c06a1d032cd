/// Bytes on their way over a path with a delay, in order: each comes out when its instant is there, and none overtakes
/// another. No clock and no timer: instants are given.
struct DelayLine {
    private struct Chunk {
        var bytes: [UInt8]
        var taken = 0
        let due: ContinuousClock.Instant
    }

    private var chunks: [Chunk] = []
    private var first = 0
    /// When the end of the stream comes out, once it was put in.
    private var end: ContinuousClock.Instant?
    private var lastDue: ContinuousClock.Instant?
    /// Bytes that are under way.
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    /// Puts bytes in that may come out at `due`, or when those before them do if that is later.
    mutating func append(_ bytes: UnsafeRawBufferPointer, due: ContinuousClock.Instant) {
        guard !bytes.isEmpty else { return }
        let due = max(due, lastDue ?? due)
        lastDue = due
        count += bytes.count
        chunks.append(Chunk(bytes: Array(bytes), due: due))
    }

    /// Nothing comes after this.
    mutating func appendEnd(due: ContinuousClock.Instant) {
        guard end == nil else { return }
        end = max(due, lastDue ?? due)
    }

    /// When the next bytes, or the end, come out.
    var nextDue: ContinuousClock.Instant? { first < chunks.count ? chunks[first].due : end }

    /// The bytes that are due and come first, without taking them out.
    func withDue<Result>(at now: ContinuousClock.Instant, _ body: (UnsafeRawBufferPointer) -> Result) -> Result? {
        guard first < chunks.count, chunks[first].due <= now else { return nil }
        return chunks[first].bytes.withUnsafeBytes {
            body(UnsafeRawBufferPointer(rebasing: $0[chunks[first].taken...]))
        }
    }

    /// Takes out bytes that `withDue` showed.
    mutating func consume(_ number: Int) {
        count -= number
        chunks[first].taken += number
        guard chunks[first].taken == chunks[first].bytes.count else { return }
        chunks[first].bytes = []
        first += 1
        if first == chunks.count {
            chunks.removeAll(keepingCapacity: true)
            first = 0
        } else if first > 64, first * 2 > chunks.count {
            chunks.removeFirst(first)
            first = 0
        }
    }

    /// Copies due bytes into `memory` and takes them out.
    mutating func take(
        into memory: UnsafeMutableRawBufferPointer, at now: ContinuousClock.Instant
    ) -> Int {
        var written = 0
        while written < memory.count {
            let copied = withDue(at: now) { bytes in
                let part = bytes.prefix(memory.count - written)
                memory.baseAddress.map {
                    ($0 + written).copyMemory(from: part.base.baseAddress!, byteCount: part.count)
                }
                return part.count
            }
            guard let copied else { break }
            consume(copied)
            written += copied
        }
        return written
    }

    /// Whether everything came out and the end is due.
    func hasEnded(at now: ContinuousClock.Instant) -> Bool { isEmpty && end.map { $0 <= now } ?? false }
}
