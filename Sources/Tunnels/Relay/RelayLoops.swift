import SocketIO

/// The loops that open tunnels live on: a few for those in which little happens, and as many for bulk (``Pace``).
///
/// A thread that is always busy has to wait for its turn where cores are scarce, for milliseconds, and with it every tunnel of its
/// loop. One that mostly sleeps is let in at once. So a transfer shares a loop with other transfers and not with somebody's keys.
public struct RelayLoops: Sendable {
    private let interactive: [Loop]
    private let bulk: [Loop]

    /// - Parameter count: how many there are of each.
    /// - Throws: when the process has no descriptors left.
    public init(_ count: Int) throws(SystemError) {
        precondition(count > 0, "an open tunnel needs a loop to live on")
        interactive = try Self.loops(count, "eiced.relay")
        bulk = try Self.loops(count, "eiced.bulk")
    }

    private static func loops(_ count: Int, _ label: String) throws(SystemError) -> [Loop] {
        var loops: [Loop] = []
        for number in 0..<count { loops.append(try Loop(label: "\(label).\(number)")) }
        return loops
    }

    public var all: [Loop] { interactive + bulk }

    /// Where the tunnel with this number belongs: numbers in a row are on different loops.
    func loop(of tunnel: UInt64, isBulk: Bool) -> Loop {
        let loops = isBulk ? bulk : interactive
        return loops[Int(tunnel % UInt64(loops.count))]
    }
}
