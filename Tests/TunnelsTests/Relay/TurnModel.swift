@testable import Tunnels

/// Who may be served next, by the promises alone: those who had their turn before come first; inside a class keys take turns, and
/// each key's waiters go in the order they came; while both classes wait, three interactive ones are served for each normal one.
struct TurnModel {
    private struct Key: Hashable {
        let priority: TunnelPriority
        let key: String
    }

    /// In the order they came.
    private var waiting: [FairQueue.Waiter] = []
    /// Those who had their turn and could not use it, in the order they came back.
    private var returned: [Ticket] = []
    /// For each key that waits: how often others of its class were served since it began to, or was served last.
    private var passedBy: [Key: [Key: Int]] = [:]
    /// Interactive ones served since the last normal one, while a normal one waited all the time.
    private var interactiveInARow = 0
    /// The same while an interactive one waited all the time; nil before the first normal one.
    private var interactiveBetween: Int?

    mutating func comes(_ waiter: FairQueue.Waiter) {
        waiting.append(waiter)
        let key = Self.key(of: waiter)
        if passedBy[key] == nil { passedBy[key] = [:] }
    }

    mutating func comesBack(_ ticket: Ticket) { returned.append(ticket) }

    mutating func leaves(_ ticket: Ticket) {
        waiting.removeAll { $0.ticket == ticket }
        returned.removeAll { $0 == ticket }
        forgetWhoWaitsNoLonger()
    }

    /// Returns the promises that this breaks.
    mutating func isServed(_ ticket: Ticket) -> [String] {
        defer { leaves(ticket) }
        if let next = returned.first {
            return next == ticket ? [] : ["someone was served before one who had his turn already"]
        }
        guard let waiter = waiting.first(where: { $0.ticket == ticket }) else { return ["served without waiting"] }
        return checkLine(waiter) + checkKeys(waiter) + checkClasses(waiter)
    }

    private func checkLine(_ waiter: FairQueue.Waiter) -> [String] {
        let first = waiting.first { Self.key(of: $0) == Self.key(of: waiter) }
        return first?.ticket == waiter.ticket ? [] : ["someone overtook another one of the same forward"]
    }

    private mutating func checkKeys(_ waiter: FairQueue.Waiter) -> [String] {
        let served = Self.key(of: waiter)
        var isUnfair = false
        for key in passedBy.keys where key != served && key.priority == served.priority {
            passedBy[key]?[served, default: 0] += 1
            if passedBy[key]?[served] ?? 0 > 1 { isUnfair = true }
        }
        passedBy[served] = [:]
        return isUnfair ? ["a forward was served twice while another one of its class waited"] : []
    }

    private mutating func checkClasses(_ waiter: FairQueue.Waiter) -> [String] {
        let others = waiting.contains { $0.priority != waiter.priority }
        switch waiter.priority {
        case .interactive:
            interactiveBetween = interactiveBetween.map { $0 + 1 }
            interactiveInARow = others ? interactiveInARow + 1 : 0
            return interactiveInARow > 3 ? ["a normal waiter had to wait for more than three interactive ones"] : []
        case .normal:
            let isEarly = others && (interactiveBetween.map { $0 < 3 } ?? false)
            interactiveInARow = 0
            interactiveBetween = others ? 0 : nil
            return isEarly ? ["a normal waiter was served before three interactive ones"] : []
        }
    }

    private mutating func forgetWhoWaitsNoLonger() {
        let keys = Set(waiting.map(Self.key))
        passedBy = passedBy.filter { keys.contains($0.key) }
        if !keys.contains(where: { $0.priority == .normal }) { interactiveInARow = 0 }
        if !keys.contains(where: { $0.priority == .interactive }) { interactiveBetween = nil }
    }

    private static func key(of waiter: FairQueue.Waiter) -> Key { Key(priority: waiter.priority, key: waiter.key) }
}
