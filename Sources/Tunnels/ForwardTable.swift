import Failures
import Logging
import SocketIO

/// All forwards by name. Confined to the control loop.
public final class ForwardTable {
    /// Each holds up to two listeners, and the service manager keeps at most 1,024 descriptors.
    public static let limit = 500

    private let tunnels: TunnelTable
    private let logger: Logger
    private var forwards: [String: Forward] = [:]
    private var reserved: Set<String> = []
    /// Told of each forward that accepts from now on, and of each that was removed.
    public var onAdd: ((Forward) -> Void)?
    public var onRemove: ((Forward) -> Void)?

    public init(tunnels: TunnelTable, logger: Logger) {
        self.tunnels = tunnels
        self.logger = logger
    }

    public var all: [Forward] { forwards.values.sorted { $0.specification.name < $1.specification.name } }

    public subscript(name: String) -> Forward? { forwards[name] }

    /// Forwards whose names are taken and whose sockets are bound, and that do not accept yet. Connections wait in the
    /// kernel meanwhile. To be committed or cancelled.
    public final class Reservation {
        fileprivate let entries: [(specification: ForwardSpecification, binding: ListenerBinding)]

        fileprivate init(_ entries: [(specification: ForwardSpecification, binding: ListenerBinding)]) {
            self.entries = entries
        }
    }

    /// Takes names and sockets for all of `specifications`, or for none.
    ///
    /// - Throws: a name that is taken or no name, an address that cannot be listened on, too many forwards.
    public func reserve(_ specifications: [ForwardSpecification]) throws(Failure) -> Reservation {
        try checkNames(specifications)
        guard forwards.count + reserved.count + specifications.count <= Self.limit else {
            throw Failure(
                .tooManyForwards, "cannot add \(specifications.count == 1 ? "the forward" : "these forwards")",
                why: "there are \(forwards.count) of at most \(Self.limit) already",
                hint: "remove those that are not used: eicectl ls, eicectl rm NAME")
        }
        var entries: [(specification: ForwardSpecification, binding: ListenerBinding)] = []
        do throws(Failure) {
            for specification in specifications {
                let binding = try ListenerBinding.bind(specification.local, bindAddress: specification.bindAddress)
                entries.append((specification, binding))
            }
        } catch {
            for entry in entries { entry.binding.close() }
            throw error
        }
        reserved.formUnion(specifications.map(\.name))
        return Reservation(entries)
    }

    public func cancel(_ reservation: Reservation) {
        for entry in reservation.entries {
            entry.binding.close()
            reserved.remove(entry.specification.name)
        }
    }

    /// The reserved forwards accept from now on.
    public func commit(_ reservation: Reservation, on loop: isolated Loop) throws(Failure) -> [Forward] {
        reserved.subtract(reservation.entries.map(\.specification.name))
        var added: [Forward] = []
        do throws(Failure) {
            for entry in reservation.entries {
                added.append(
                    try Forward(entry.specification, binding: entry.binding, tunnels: tunnels, logger: logger, on: loop)
                )
            }
        } catch {
            for forward in added { forward.close(on: loop) }
            for entry in reservation.entries { entry.binding.close() }
            throw error
        }
        for forward in added {
            forwards[forward.specification.name] = forward
            logAdded(forward)
            onAdd?(forward)
        }
        return added
    }

    private func checkNames(_ specifications: [ForwardSpecification]) throws(Failure) {
        var seen: Set<String> = []
        for name in specifications.map(\.name) {
            guard ForwardSpecification.isValidName(name) else {
                throw Failure(
                    .invalidRequest, "\"\(name)\" is no name for a forward",
                    why: "names have 1 to 64 letters, digits, dots, underscores and hyphens")
            }
            guard forwards[name] == nil, !reserved.contains(name), seen.insert(name).inserted else {
                throw Failure(
                    .nameTaken, "there is a forward named \(name) already",
                    hint: "choose another with --name, or "
                        + "remove it: eicectl rm \(name)")
            }
        }
    }

    private func logAdded(_ forward: Forward) {
        let specification = forward.specification
        logger.notice(
            "forward added",
            metadata: [
                "forward": "\(specification.name)",
                "target": "\(specification.route.target):\(specification.route.remotePort)",
                "listens_on": "\(forward.addresses.map(\.description).joined(separator: " "))",
            ])
        for address in forward.addresses where !address.isLoopback {
            logger.warning(
                "\(address) can be reached from other hosts, as asked for with --allow-remote",
                metadata: ["forward": "\(specification.name)"])
        }
    }

    /// Stops listening and closes the forward's tunnels.
    ///
    /// - Throws: when one of the names is unknown; then nothing is removed.
    public func remove(_ names: [String], on loop: isolated Loop) throws(Failure) {
        for name in names where forwards[name] == nil {
            throw Failure(
                .unknownForward, "there is no forward named \(name)", hint: "eicectl ls shows those there are")
        }
        for name in names {
            let forward = forwards.removeValue(forKey: name)
            forward?.close(on: loop)
            for tunnel in tunnels.all where tunnel.request.forward == name {
                tunnel.close(.requested("the forward \(name) was removed"))
            }
            logger.notice("forward removed", metadata: ["forward": "\(name)"])
            if let forward { onRemove?(forward) }
        }
    }

    /// Stops listening everywhere; tunnels go on.
    public func closeListeners(on loop: isolated Loop) {
        for forward in forwards.values { forward.close(on: loop) }
        forwards = [:]
    }

    /// A tunnel of a forward ended.
    public func note(_ end: EndedTunnel) {
        guard end.reason.failure != nil, let name = end.handle.request.forward else { return }
        forwards[name]?.lastFailure = end
    }
}
