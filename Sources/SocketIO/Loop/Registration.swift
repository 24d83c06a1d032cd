/// A descriptor's place in a ``Loop``: a slot and its generation, since both descriptors and slots are used again.
public struct Registration: Hashable, Sendable {
    fileprivate let slot: UInt32
    fileprivate let generation: UInt32

    /// What epoll carries. The generation stays below 2³¹, so that no key equals the loop's own.
    var key: UInt64 { UInt64(generation) << 32 | UInt64(slot) }
}

/// The handlers of a loop by slot.
struct RegistrationTable {
    private struct Entry {
        var generation: UInt32 = 0
        var handler: (any ReadinessHandler)?
        var descriptor: CInt = -1
        var isAgain = false
        var isActive = false
    }

    private var entries: [Entry] = []
    private var free: [UInt32] = []
    /// With which generation a new slot begins: one that none of the slots that were here before had.
    private var firstGeneration: UInt32 = 0

    mutating func insert(_ handler: any ReadinessHandler, descriptor: CInt) -> Registration {
        let slot: UInt32
        if let old = free.popLast() {
            slot = old
        } else {
            slot = UInt32(entries.count)
            entries.append(Entry(generation: firstGeneration))
        }
        entries[Int(slot)].handler = handler
        entries[Int(slot)].descriptor = descriptor
        return Registration(slot: slot, generation: entries[Int(slot)].generation)
    }

    /// The descriptor that was registered, or nil if it no longer is.
    @discardableResult
    mutating func remove(_ registration: Registration) -> CInt? {
        let index = Int(registration.slot)
        guard isCurrent(registration) else { return nil }
        let descriptor = entries[index].descriptor
        entries[index] = Entry(generation: (registration.generation &+ 1) & 0x7fff_ffff)
        free.append(registration.slot)
        return descriptor
    }

    func handler(forKey key: UInt64) -> (any ReadinessHandler)? {
        let index = Int(key & 0xffff_ffff)
        guard index < entries.count, entries[index].generation == UInt32(key >> 32) else { return nil }
        return entries[index].handler
    }

    /// Puts the descriptor on the list of those to call again. False when it is there already, or gone.
    mutating func markAgain(_ registration: Registration) -> Bool {
        guard isCurrent(registration), !entries[Int(registration.slot)].isAgain else { return false }
        entries[Int(registration.slot)].isAgain = true
        return true
    }

    /// Takes it off that list.
    mutating func takeAgain(_ registration: Registration) -> (any ReadinessHandler)? {
        guard isCurrent(registration) else { return nil }
        entries[Int(registration.slot)].isAgain = false
        return entries[Int(registration.slot)].handler
    }

    /// Puts the descriptor on the list of those that are told when the loop is quiet. False when it is there already, or gone.
    mutating func markActive(_ registration: Registration) -> Bool {
        guard isCurrent(registration), !entries[Int(registration.slot)].isActive else { return false }
        entries[Int(registration.slot)].isActive = true
        return true
    }

    /// Takes it off that list.
    mutating func takeActive(_ registration: Registration) -> (any ReadinessHandler)? {
        guard isCurrent(registration) else { return nil }
        entries[Int(registration.slot)].isActive = false
        return entries[Int(registration.slot)].handler
    }

    /// Gives back the room of many more than there are.
    mutating func giveBackRoom() {
        while let last = entries.last, last.handler == nil {
            firstGeneration = max(firstGeneration, last.generation)
            entries.removeLast()
        }
        free.removeAll { $0 >= entries.count }
        entries.giveBackRoom()
        free.giveBackRoom()
    }

    private func isCurrent(_ registration: Registration) -> Bool {
        let index = Int(registration.slot)
        return index < entries.count && entries[index].generation == registration.generation
            && entries[index].handler != nil
    }
}
