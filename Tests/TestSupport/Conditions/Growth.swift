import Glibc

/// How many times as long `work` takes for four times its size: some 4 where the time is in proportion, 16 where it grows with the
/// square. In processor time of this thread, which a busy machine does not lengthen; the least of three runs each counts.
///
/// - Parameter prepare: makes what `work` gets, and is not measured.
public func growth<Input>(_ size: Int, prepare: (Int) throws -> Input, work: (Input) throws -> Void) rethrows
    -> Double
{
    func time(_ size: Int) throws -> Double {
        let input = try prepare(size)
        return try (0..<3).map { _ in
            let start = processorSeconds()
            try work(input)
            return processorSeconds() - start
        }.min() ?? 0
    }
    let one = try time(size)
    return try time(4 * size) / max(one, 0.000_001)
}

/// Between the 4 of work in proportion and the 16 of quadratic work.
public let linearGrowth = 9.0

private func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
