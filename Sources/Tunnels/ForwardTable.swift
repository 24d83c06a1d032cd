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

    public init(tunnels: TunnelTable, logger: Logger) {
        self.tunnels = tunnels
        self.logger = logger
    }

    public var all: [Forward] { forwards.values.sorted { $0.specification.name < $1.specification.name } }

    public subscript(name: String) -> Forward? { forwards[name] }

    /// Adds all of `specifications`, or none.
    ///
    /// - Throws: a name that is taken or no name, a listener that cannot be bound, too many forwards.
    public func add(_ specifications: [ForwardSpecification], on loop: isolated Loop) throws(Failure) -> [Forward] {
        try checkNames(specifications)
        guard forwards.count + specifications.count <= Self.limit else {
            throw Failure(
                .tooManyForwards, "cannot add \(specifications.count == 1 ? "the forward" : "these forwards")",
                why: "there are \(forwards.count) of at most \(Self.limit) already",
                hint: "remove those that are not used: eicectl ls, eicectl rm NAME")
        }
        var added: [Forward] = []
        do throws(Failure) {
            for specification in specifications {
                let binding = try ListenerBinding.bind(specification.local, bindAddress: specification.bindAddress)
                added.append(
                    try Forward(specification, binding: binding, tunnels: tunnels, logger: logger, on: loop))
            }
        } catch {
            for forward in added { forward.close(on: loop) }
            throw error
        }
        for forward in added {
            forwards[forward.specification.name] = forward
            logAdded(forward)
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
            guard forwards[name] == nil, seen.insert(name).inserted else {
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
            forwards.removeValue(forKey: name)?.close(on: loop)
            for tunnel in tunnels.all where tunnel.request.forward == name {
                tunnel.close(.requested("the forward \(name) was removed"))
            }
            logger.notice("forward removed", metadata: ["forward": "\(name)"])
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
