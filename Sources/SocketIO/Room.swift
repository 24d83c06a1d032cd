// A collection grows with what it holds and never shrinks by itself: after a crowd it keeps the room for one, unless it gives it back.

/// In elements. Less is worth no thought.
private let roomWorthKeeping = 256

extension Array {
    /// Gives back the room of many more than there are.
    mutating func giveBackRoom() {
        guard capacity > roomWorthKeeping, count < capacity / 4 else { return }
        var moved: [Element] = []
        moved.reserveCapacity(count)
        moved.append(contentsOf: self)
        self = moved
    }
}

extension Dictionary {
    /// Gives back the room of many more than there are.
    mutating func giveBackRoom() {
        guard capacity > roomWorthKeeping, count < capacity / 4 else { return }
        var moved = Dictionary(minimumCapacity: count)
        for (key, value) in self { moved[key] = value }
        self = moved
    }
}
