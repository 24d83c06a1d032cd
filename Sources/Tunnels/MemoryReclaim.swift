/// When memory that tunnels used is worth giving back to the system: the allocator keeps what they leave between what is
/// still in use, and looking for it takes milliseconds. Pure.
struct MemoryReclaim {
    /// Below this there is not enough to be had, about a megabyte and a half.
    static let fewest = 64

    /// The most open tunnels since memory was given back.
    private var peak = 0

    /// So many tunnels are open now. True when half of them have ended since there were most: who opens one for each that
    /// ends never gets there.
    mutating func changed(toOpen count: Int) -> Bool {
        peak = max(peak, count)
        guard peak >= Self.fewest, count <= peak / 2 else { return false }
        peak = count
        return true
    }
}
