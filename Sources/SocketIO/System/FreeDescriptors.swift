import Glibc

/// Whether there is room for more descriptors in this process.
enum FreeDescriptors {
    /// As many numbers as are looked at in one call: 8 KiB of memory.
    private static let stride = 1_024

    /// Whether at least so many numbers below `limit` are not in use.
    ///
    /// The kernel gives the lowest number that is free, so looking begins at the top: unless the process once had nearly all of them
    /// open, what is needed is free there and one call tells. The lowest free number would not: above it as many as you like are
    /// open.
    ///
    /// - Parameters:
    ///   - needed: how many descriptors are to be opened.
    ///   - limit: the number that the first one too many would have: RLIMIT_NOFILE.
    ///   - free: how many of some numbers are not in use.
    static func are(_ needed: Int, below limit: Int, free: (Range<CInt>) -> Int = free(in:)) -> Bool {
        guard needed <= limit else { return false }
        var (missing, end, step) = (needed, min(limit, Int(CInt.max)), 64)
        while missing > 0, end > 0 {
            let start = max(0, end - min(max(missing, step), stride))
            missing -= free(CInt(start)..<CInt(end))
            end = start
            step *= 2
        }
        return missing <= 0
    }

    /// Of these numbers those that poll(2) does not know.
    static func free(in numbers: Range<CInt>) -> Int {
        withUnsafeTemporaryAllocation(of: pollfd.self, capacity: numbers.count) { entries in
            for (index, number) in numbers.enumerated() {
                entries.initializeElement(at: index, to: pollfd(fd: number, events: 0, revents: 0))
            }
            guard poll(entries.baseAddress, nfds_t(entries.count), 0) >= 0 else { return 0 }
            return entries.count { $0.revents & Int16(POLLNVAL) != 0 }
        }
    }
}
