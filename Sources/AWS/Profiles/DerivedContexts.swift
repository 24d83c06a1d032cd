import Basics
import Synchronization

/// What belongs to each of the shells that requests came from (``AWSContext/under(_:)``).
final class DerivedContexts<Context: Sendable>: Sendable {
    private struct Entry {
        var context: Context
        var lastUse: Int
    }

    private struct State {
        var entries: [EnvironmentOverlay: Entry] = [:]
        var uses = 0
    }

    /// More shells than a person has. Dropping a context costs its next request new credentials.
    private static var capacity: Int { 64 }

    private let state = Mutex(State())

    /// The context for `overlay`, made by `make` at its first use. The least recently used one makes room.
    func context(_ overlay: EnvironmentOverlay, _ make: () -> Context) -> Context {
        state.withLock { state in
            state.uses += 1
            if let known = state.entries[overlay] {
                state.entries[overlay]?.lastUse = state.uses
                return known.context
            }
            if state.entries.count >= Self.capacity,
                let oldest = state.entries.min(by: { $0.value.lastUse < $1.value.lastUse })
            {
                state.entries[oldest.key] = nil
            }
            let context = make()
            state.entries[overlay] = Entry(context: context, lastUse: state.uses)
            return context
        }
    }
}
