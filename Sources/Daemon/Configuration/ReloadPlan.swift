import Failures
import Tunnels

/// What a changed configuration means for the forwards that came from the old one. Pure.
struct ReloadPlan {
    private(set) var added: [ForwardSpecification] = []
    private(set) var removed: [String] = []
    /// Those that are to be otherwise while they keep their names.
    private(set) var changed: [ForwardSpecification] = []

    /// - Throws: what is wrong with a forward of the fresh configuration.
    init(
        present: [ForwardSpecification], fresh: Configuration, translation: RequestTranslation
    ) throws(Failure) {
        let old = Dictionary(uniqueKeysWithValues: present.map { ($0.name, $0) })
        for (name, forward) in fresh.forwards.sorted(by: { $0.key < $1.key }) {
            let specification = try translation.forward(named: name, forward)
            guard let before = old[name] else {
                added.append(specification)
                continue
            }
            guard before != specification else { continue }
            changed.append(specification)
        }
        removed = old.keys.filter { fresh.forwards[$0] == nil }.sorted()
    }
}
