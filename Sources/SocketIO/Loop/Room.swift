// A collection grows with what it holds and never shrinks by itself: after a crowd it keeps the room for one, unless it gives it back.

/// In elements: a collection that holds something is not moved for less.
private let roomWorthMoving = 256

extension Array {
    /// Gives back the room of many more than there are, and all of it where there are none.
    package mutating func giveBackRoom() {
        guard !isEmpty else {
            self = []
            return
        }
        guard capacity > roomWorthMoving, count < capacity / 4 else { return }
        var moved: [Element] = []
        moved.reserveCapacity(count)
        moved.append(contentsOf: self)
        self = moved
    }
}

extension Dictionary {
    /// Gives back the room of many more than there are, and all of it where there are none.
    package mutating func giveBackRoom() {
        guard !isEmpty else {
            self = [:]
            return
        }
        guard capacity > roomWorthMoving, count < capacity / 4 else { return }
        var moved = Dictionary(minimumCapacity: count)
        for (key, value) in self { moved[key] = value }
        self = moved
    }
}
