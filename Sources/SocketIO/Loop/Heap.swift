import Bounds
import CLinux

/// The process's heap.
public enum Heap {
    /// For a process with buffer pools and a few busy threads: buffers lie apart from what lives long and leave no holes there,
    /// and there is one heap, since what a thread leaves free in its own is of no use to the others. Once, before there are
    /// threads.
    public static func tune() { clinux_tune_heap(CInt(BufferPool.capacity)) }

    /// Gives free memory back to the system, which the allocator does not by itself where it lies between what is in use. On a
    /// thread of its own, since it looks at all of the heap: from a loop.
    public static func giveBack() { BlockingPool.shared.run { clinux_trim_heap() } }
}
