import Failures
import Logging
import SocketIO

/// All forwards by name. Confined to the control loop.
public final class ForwardTable {
    /// Each holds up to two listeners, and the service manager keeps at most 1,024 descriptors.
    public static let limit = 500

    private let tunnels: TunnelTable
    private let keeper: (any ListenerKeeper)?
    private var isHeld = false
    let logger: Logger
    var forwards: [String: Forward] = [:]
    var reserved: Set<String> = []
    /// Told of each forward that accepts from now on, and of each that was removed.
    public var onAdd: ((Forward) -> Void)?
    public var onRemove: ((Forward) -> Void)?
    /// Told of each that was changed, with the name it had before, and of each that listens after it could not.
    public var onChange: ((Forward, String) -> Void)?
    /// Told of each connection that a forward refused, with how many to tell people of: nil when it is too soon after the last
    /// time.
    public var onRefusal: ((Forward, RefusedConnection, _ toTell: Int?) -> Void)?
    /// Told of each client that went before it could be looked up.
    public var onGone: (() -> Void)?
    /// Whom forwards serve that do not say otherwise.
    public var access = AccessRules() {
        didSet { for forward in forwards.values { forward.defaultAccess = access } }
    }

    /// - Parameter keeper: keeps the sockets of forwards that last.
    public init(tunnels: TunnelTable, keeper: (any ListenerKeeper)? = nil, logger: Logger) {
        self.tunnels = tunnels
        self.keeper = keeper
        self.logger = logger
    }

    public var all: [Forward] { forwards.values.sorted { $0.specification.name < $1.specification.name } }

    public subscript(name: String) -> Forward? { forwards[name] }

    /// Forwards whose names are taken and whose sockets are bound, and that do not accept yet. Connections wait in the
    /// kernel meanwhile. To be committed or cancelled.
    public final class Reservation {
        fileprivate let entries: [(specification: ForwardSpecification, binding: ListenerBinding)]

        /// What was asked for, with the ports that the kernel chose.
        public var specifications: [ForwardSpecification] { entries.map(\.specification) }

        fileprivate init(_ entries: [(specification: ForwardSpecification, binding: ListenerBinding)]) {
            self.entries = entries
        }
    }

    /// Takes names and sockets for all of `specifications`, or for none.
    ///
    /// - Throws: a name that is taken or no name, an address that cannot be listened on, too many forwards.
    public func reserve(_ specifications: [ForwardSpecification]) throws(Failure) -> Reservation {
        try checkNames(specifications.map(\.name))
        try checkCount(adding: specifications.count)
        var entries: [(specification: ForwardSpecification, binding: ListenerBinding)] = []
        do throws(Failure) {
            for specification in specifications {
                do throws(Failure) {
                    let binding = try ListenerBinding.bind(specification.local, bindAddress: specification.bindAddress)
                    entries.append((Self.pinned(specification, to: binding), binding))
                } catch {
                    throw naming(error, specification)
                }
            }
        } catch {
            for entry in entries { entry.binding.close() }
            throw error
        }
        reserved.formUnion(specifications.map(\.name))
        return Reservation(entries)
    }

    /// Where one of our own forwards is in the way, it is named.
    private func naming(_ failure: Failure, _ specification: ForwardSpecification) -> Failure {
        guard failure.kind == .cannotListen, case .port(let port) = specification.local,
            let other = all.first(where: { $0.addresses.contains { $0.port == port } })
        else { return failure }
        var named = failure
        named.hint =
            "the forward \(other.specification.name) listens on port \(port): choose another port, or 0 for any free one"
        return named
    }

    public func cancel(_ reservation: Reservation) {
        for entry in reservation.entries {
            entry.binding.close()
            reserved.remove(entry.specification.name)
        }
    }

    /// The reserved forwards accept from now on. One that unexpectedly cannot says so and goes on trying.
    public func commit(_ reservation: Reservation, on loop: isolated Loop) -> [Forward] {
        reserved.subtract(reservation.entries.map(\.specification.name))
        return reservation.entries.map { entry in
            let forward = insert(entry.specification)
            forward.listen(on: entry.binding, on: loop)
            log("forward added", as: "forward-added", forward)
            onAdd?(forward)
            return forward
        }
    }

    /// Adds a forward that must stand whether its address can be listened on now or not: one that was there before a
    /// restart, or that the configuration names.
    ///
    /// - Throws: a name that is taken or no name, too many forwards.
    @discardableResult
    public func restore(_ specification: ForwardSpecification, on loop: isolated Loop) throws(Failure) -> Forward {
        try checkNames([specification.name])
        try checkCount(adding: 1)
        let forward = insert(specification)
        forward.tryToListen(on: loop)
        if forward.listenFailure == nil { log("forward added", as: "forward-added", forward) }
        onAdd?(forward)
        return forward
    }

    func insert(_ specification: ForwardSpecification) -> Forward {
        let forward = Forward(specification, tunnels: tunnels, keeper: keeper, isHeld: isHeld, logger: logger)
        forward.onListening = { [unowned self] forward in
            log("forward listens at last", as: "forward-added", forward)
            onChange?(forward, forward.specification.name)
        }
        forward.defaultAccess = access
        forward.doorkeeper.onRefusal = { [unowned self, unowned forward] refused, toTell in
            if let toTell { log(refused, toTell, of: forward) }
            onRefusal?(forward, refused, toTell)
        }
        forward.doorkeeper.onGone = { [unowned self] in onGone?() }
        forwards[specification.name] = forward
        return forward
    }

    private func log(_ refused: RefusedConnection, _ count: Int, of forward: Forward) {
        let name = forward.specification.name
        logger.warning(
            "\(refused.refusal.failure(of: name))",
            metadata: ["forward": "\(name)", "reason": "\(refused.refusal.code)", "count": "\(count)"])
    }

    /// A port that was chosen for a request is the forward's from then on: the user's ssh configuration may name it.
    /// What the configuration leaves open stays open.
    static func pinned(
        _ specification: ForwardSpecification, to binding: ListenerBinding
    ) -> ForwardSpecification {
        var pinned = specification
        if specification.origin == .request, specification.local == .port(0), let port = binding.addresses.first?.port {
            pinned.local = .port(port)
        }
        return pinned
    }

    // MARK: Changing

    /// A change of one forward that is prepared: its new name is taken, its new address bound. To be committed or
    /// cancelled.
    public final class Change {
        fileprivate let forward: Forward
        fileprivate let oldName: String
        fileprivate let binding: ListenerBinding?
        /// What the forward is to be, with the port that the kernel chose.
        public let specification: ForwardSpecification

        fileprivate init(_ forward: Forward, _ specification: ForwardSpecification, _ binding: ListenerBinding?) {
            self.forward = forward
            self.specification = specification
            self.binding = binding
            oldName = forward.specification.name
        }
    }

    /// Prepares `forward` to become what `specification` says.
    ///
    /// - Throws: a new name that is taken or no name, an address that cannot be listened on; then all is as before.
    public func prepareChange(
        of forward: Forward, to specification: ForwardSpecification
    ) throws(Failure) -> Change {
        let old = forward.specification
        let isRenamed = specification.name != old.name
        if isRenamed { try checkNames([specification.name]) }
        var binding: ListenerBinding?
        if specification.place != old.place {
            binding = try ListenerBinding.bind(
                specification.local, bindAddress: specification.bindAddress,
                inPlaceOf: forward.binding.map { [$0] } ?? [])
        }
        if isRenamed { reserved.insert(specification.name) }
        return Change(forward, binding.map { Self.pinned(specification, to: $0) } ?? specification, binding)
    }

    public func cancel(_ change: Change) {
        change.binding?.close()
        if change.specification.name != change.oldName { reserved.remove(change.specification.name) }
    }

    /// The forward is what the change says from now on. Its open tunnels go on as they began.
    public func commit(_ change: Change, on loop: isolated Loop) {
        let name = change.specification.name
        if name != change.oldName {
            reserved.remove(name)
            forwards[change.oldName] = nil
            forwards[name] = change.forward
        }
        change.forward.become(change.specification, on: loop)
        if let binding = change.binding { change.forward.listen(on: binding, on: loop) }
        logger.notice(
            "forward changed", metadata: ["event": "forward-changed", "forward": "\(name)", "was": "\(change.oldName)"])
        warnOfOtherHosts(change.forward)
        onChange?(change.forward, change.oldName)
    }

    // MARK: Checks

    /// - Parameter removed: how many go at the same time.
    func checkCount(adding count: Int, removing removed: Int = 0) throws(Failure) {
        guard count == 0 || forwards.count + reserved.count + count - removed <= Self.limit else {
            throw Failure(
                .tooManyForwards, "cannot add \(count == 1 ? "the forward" : "these forwards")",
                why: "there are \(forwards.count) of at most \(Self.limit) already",
                hint: "remove those that are not used: eicectl ls, eicectl rm NAME")
        }
    }

    func checkNames(_ names: [String]) throws(Failure) {
        var seen: Set<String> = []
        for name in names {
            guard ForwardSpecification.isValidName(name) else {
                throw Failure(
                    .invalidRequest, "invalid forward name \"\(ForeignText.excerpt(name, limit: 80))\"",
                    why: ForwardSpecification.nameRule)
            }
            guard forwards[name] == nil, !reserved.contains(name), seen.insert(name).inserted else {
                throw Failure(
                    .nameTaken, "there is another forward named \(name) already",
                    hint: "choose another name, change that one (eicectl set \(name)) or remove it (eicectl rm \(name))"
                )
            }
        }
    }

    /// - Parameter kind: of the entry, as the journal knows it.
    func log(_ message: Logger.Message, as kind: String, _ forward: Forward) {
        let specification = forward.specification
        logger.notice(
            message,
            metadata: [
                "event": "\(kind)", "forward": "\(specification.name)",
                "target": "\(specification.route.target):\(specification.route.remotePort)",
                "listens_on": "\(forward.addresses.map(\.description).joined(separator: " "))",
            ])
        warnOfOtherHosts(forward)
    }

    func warnOfOtherHosts(_ forward: Forward) {
        for address in forward.addresses where !address.isLoopback {
            logger.warning(
                "\(address) can be reached from other hosts, as asked for with --allow-remote",
                metadata: ["forward": "\(forward.specification.name)"])
        }
    }

    // MARK: Removing

    /// Stops listening and closes the forward's tunnels.
    ///
    /// - Throws: when one of the names is unknown; then nothing is removed.
    public func remove(_ names: [String], on loop: isolated Loop) throws(Failure) {
        for name in names where forwards[name] == nil { throw Self.unknown(name) }
        for name in names {
            let forward = forwards.removeValue(forKey: name)
            forward?.close(on: loop)
            for tunnel in tunnels.all where tunnel.request.forward == name {
                tunnel.close(.requested("the forward \(name) was removed"))
            }
            logger.notice("forward removed", metadata: ["event": "forward-removed", "forward": "\(name)"])
            if let forward { onRemove?(forward) }
        }
    }

    static func unknown(_ name: String) -> Failure {
        Failure(.unknownForward, "there is no forward named \(name)", hint: "eicectl ls shows those there are")
    }

    // MARK: Holding and letting go

    /// Forwards that are added from now on listen and take no connection: these wait in the kernel.
    public func hold() { isHeld = true }

    /// Ends ``hold()``: connections that wait, and all later ones, are taken.
    public func release(on loop: isolated Loop) {
        isHeld = false
        for forward in forwards.values { forward.release(on: loop) }
    }

    /// Stops listening everywhere; tunnels go on.
    public func closeListeners(on loop: isolated Loop) {
        for forward in forwards.values { forward.close(on: loop) }
        forwards = [:]
    }

    /// Sockets as another process would get them, by forward.
    public var listeners: [(forward: ForwardSpecification, listeners: InheritedListeners)] {
        all.compactMap { forward in
            forward.binding.map {
                (forward.specification, InheritedListeners($0.descriptors, isManaged: $0.isManaged))
            }
        }
    }

    /// Stops taking connections: another process has all sockets, and takes them. Tunnels go on.
    public func handOver(on loop: isolated Loop) {
        for forward in forwards.values { forward.letGo(on: loop) }
        forwards = [:]
    }

    /// Stops taking connections; the sockets of forwards that last stay open with their keeper, where connections wait for the
    /// next daemon. Tunnels go on.
    public func letListenersGo(on loop: isolated Loop) {
        for forward in forwards.values {
            if forward.isKept { forward.letGo(on: loop) } else { forward.close(on: loop) }
        }
        forwards = [:]
    }

    /// A tunnel of a forward ended.
    public func note(_ end: EndedTunnel) {
        guard end.reason.failure != nil, let name = end.handle.request.forward else { return }
        forwards[name]?.lastFailure = end
    }
}
