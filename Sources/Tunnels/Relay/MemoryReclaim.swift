/// When memory that tunnels used is worth giving back to the system: the allocator keeps what they leave between what is
/// still in use, and looking for it takes milliseconds. Pure.
struct MemoryReclaim {
    /// Below this there is not enough to be had, about a megabyte and a half.
    static let fewest = 64

    /// How many tunnels were open when memory was given back, and the most since then.
    private var before = 0
    private var most = 0

    /// So many tunnels are open now. True when half of them have ended since there were most, or when there are half as many again
    /// as before: a TLS handshake needs 33 KiB, which lie free between what was made beside it. Who opens one for each that ends never
    /// gets to either.
    mutating func changed(toOpen count: Int) -> Bool {
        most = max(most, count)
        return most >= Self.fewest && (count <= most / 2 || count >= max(Self.fewest, before + before / 2))
    }

    /// Memory is given back while so many are open. True when half of those that there were have ended: what was made beside them and
    /// lives on is worth making anew.
    mutating func gaveBack(withOpen count: Int) -> Bool {
        defer {
            before = count
            most = count
        }
        return most >= Self.fewest && count <= most / 2
    }
}
