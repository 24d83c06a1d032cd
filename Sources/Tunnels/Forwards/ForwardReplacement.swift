import Failures
import SocketIO

extension ForwardTable {
    /// Forwards that go, come and change together, prepared: names taken, addresses bound. To be committed or cancelled.
    public final class Replacement {
        fileprivate let removed: [String]
        fileprivate let added: [(specification: ForwardSpecification, binding: ListenerBinding)]
        /// Without a binding: it stays where it listens.
        fileprivate let changed: [(forward: Forward, specification: ForwardSpecification, binding: ListenerBinding?)]

        fileprivate init(
            removed: [String], added: [(specification: ForwardSpecification, binding: ListenerBinding)],
            changed: [(forward: Forward, specification: ForwardSpecification, binding: ListenerBinding?)]
        ) {
            self.removed = removed
            self.added = added
            self.changed = changed
        }

        fileprivate var bindings: [ListenerBinding] { added.map(\.binding) + changed.compactMap(\.binding) }
    }

    /// Prepares all of it or nothing. An address that one forward leaves and another one takes keeps its socket, so that
    /// forwards may be renamed and may change places.
    ///
    /// - Parameters:
    ///   - removed: names of forwards that there are.
    ///   - changed: what forwards are to be, by the names that they have and keep.
    /// - Throws: a name that is taken, unknown or no name, an address that cannot be listened on, too many forwards.
    public func prepare(
        removing removed: [String], adding added: [ForwardSpecification], changing changed: [ForwardSpecification]
    ) throws(Failure) -> Replacement {
        try checkNames(added.map(\.name))
        try checkCount(adding: added.count, removing: removed.count)
        var leaving: [ListenerBinding] = []
        for name in removed { if let binding = try existing(name).binding { leaving.append(binding) } }
        var moving: [(forward: Forward, specification: ForwardSpecification)] = []
        var staying: [(forward: Forward, specification: ForwardSpecification)] = []
        for specification in changed {
            let forward = try existing(specification.name)
            guard forward.specification.place != specification.place else {
                staying.append((forward, specification))
                continue
            }
            if let binding = forward.binding { leaving.append(binding) }
            moving.append((forward, specification))
        }

        var bound = BoundTogether(inPlaceOf: leaving)
        do throws(Failure) {
            var newcomers: [(specification: ForwardSpecification, binding: ListenerBinding)] = []
            for specification in added {
                let binding = try bound.bind(specification)
                newcomers.append((Self.pinned(specification, to: binding), binding))
            }
            var moved: [(forward: Forward, specification: ForwardSpecification, binding: ListenerBinding?)] = []
            for (forward, specification) in moving {
                moved.append((forward, specification, try bound.bind(specification)))
            }
            reserved.formUnion(added.map(\.name))
            return Replacement(
                removed: removed, added: newcomers,
                changed: staying.map { ($0.forward, $0.specification, nil) } + moved)
        } catch {
            for binding in bound.bindings { binding.close() }
            throw error
        }
    }

    public func cancel(_ replacement: Replacement) {
        for binding in replacement.bindings { binding.close() }
        reserved.subtract(replacement.added.map(\.specification.name))
    }

    /// What comes listens before what goes is closed: no connection is refused where a socket is kept.
    public func commit(_ replacement: Replacement, on loop: isolated Loop) throws(Failure) {
        reserved.subtract(replacement.added.map(\.specification.name))
        for binding in replacement.bindings { binding.takeOver() }
        for (forward, specification, binding) in replacement.changed {
            forward.become(specification, on: loop)
            if let binding { forward.listen(on: binding, on: loop) }
            log("forward changed", as: "forward-changed", forward)
            onChange?(forward, specification.name)
        }
        for (specification, binding) in replacement.added {
            let forward = insert(specification)
            forward.listen(on: binding, on: loop)
            log("forward added", as: "forward-added", forward)
            onAdd?(forward)
        }
        try remove(replacement.removed, on: loop)
    }

    private func existing(_ name: String) throws(Failure) -> Forward {
        if let forward = forwards[name] { return forward }
        throw Self.unknown(name)
    }
}

/// Bindings made one after another that must not have an address in common: each may share that of one that leaves, and
/// two that share the same one would take connections from each other.
private struct BoundTogether {
    let leaving: [ListenerBinding]
    private(set) var bindings: [ListenerBinding] = []

    init(inPlaceOf leaving: [ListenerBinding]) { self.leaving = leaving }

    mutating func bind(_ specification: ForwardSpecification) throws(Failure) -> ListenerBinding {
        let binding = try ListenerBinding.bind(
            specification.local, bindAddress: specification.bindAddress, inPlaceOf: leaving)
        let taken = bindings.flatMap(\.addresses)
        bindings.append(binding)
        if let address = binding.addresses.first(where: { address in taken.contains { $0.excludes(address) } }) {
            throw Failure(
                .cannotListen, "cannot listen on \(address) for \(specification.name)",
                why: "another forward is to listen there", hint: "give one of them another port")
        }
        return binding
    }
}
