import CLinux

/// The process's heap.
public enum Heap {
    /// For a process with buffer pools: the buffers then lie apart from what lives long, and leave no holes. Once, at its start.
    public static func keepBuffersApart() { clinux_map_large_blocks(CInt(BufferPool.capacity)) }

    /// Gives free memory back to the system, which the allocator does not by itself where it lies between what is in use. On a
    /// thread of its own, since it looks at all of the heap: from a loop.
    public static func giveBack() { BlockingPool.shared.run { clinux_trim_heap() } }
}
