import Glibc
import Logging
import ServiceManager
import SocketIO
import Tunnels

/// What outlives the process: listening sockets that the service manager keeps (`FileDescriptorStoreMax=`) or listens on by
/// itself (`.socket` units). Confined to the control loop.
///
/// A forward's sockets are kept as `f.NAME.4`, `f.NAME.6` and `f.NAME.unix`. A `.socket` unit's have the name of its forward, by
/// `FileDescriptorName=`.
final class DescriptorStore: ListenerKeeper {
    /// The socket unit's control socket.
    static let control = "control"
    /// The control socket that an earlier process bound by itself.
    static let ownControl = "control.own"

    /// What the sockets of a forward are kept as.
    private static func names(of forward: String) -> [String] { ["4", "6", "unix"].map { "f.\(forward).\($0)" } }

    static func name(of forward: String, _ address: SocketAddress) -> String {
        switch address.family {
        case .ipv4: "f.\(forward).4"
        case .ipv6: "f.\(forward).6"
        case .unix: "f.\(forward).unix"
        }
    }

    private var adopted: AdoptedSockets
    private let notifier: Notifier
    private let logger: Logger
    private let later: (@escaping () -> Void) -> Void
    private var kept = KeptNames()
    /// What is to be kept; each is open for as long as its forward listens.
    private var wanted: [String: FileDescriptor] = [:]
    private var isSettling = false

    /// - Parameter adopted: what is not taken yet of what was passed.
    init(_ adopted: AdoptedSockets, notifier: Notifier, logger: Logger, on loop: isolated Loop) {
        self.adopted = adopted
        self.notifier = notifier
        self.logger = logger
        later = { body in loop.soon(body) }
    }

    // MARK: Forwards

    func claim(_ forward: String) -> InheritedListeners? {
        var own: [FileDescriptor] = []
        for name in Self.names(of: forward) {
            let found = adopted.remove(named: name)
            if let first = found.first { kept.note(name, Self.identity(of: first)) }
            own += found
        }
        let managed = adopted.remove(named: forward)
        if !managed.isEmpty { return InheritedListeners(managed, isManaged: true) }
        // What is kept and not wanted when this turn is over is forgotten.
        if !own.isEmpty { settleSoon() }
        return own.isEmpty ? nil : InheritedListeners(own, isManaged: false)
    }

    func keep(_ listeners: [FileDescriptor], of forward: String) {
        for listener in listeners {
            guard let address = SocketAddress.local(of: listener) else { continue }
            wanted[Self.name(of: forward, address)] = listener
        }
        settleSoon()
    }

    func forget(_ forward: String) {
        for name in Self.names(of: forward) { wanted[name] = nil }
        settleSoon()
    }

    /// Closes what no forward claimed, here and in the store. Comes after the last ``claim(_:)`` of the start.
    func dropUnclaimed() {
        for name in adopted.names {
            for descriptor in adopted.remove(named: name) { descriptor.close() }
            if name.hasPrefix("f.") {
                notifier.removeStored(name)
                logger.info("closed a kept listener that no forward claims", metadata: ["name": "\(name)"])
            } else {
                logger.warning(
                    "the service manager passed a socket that no forward of the configuration claims: \(name)",
                    metadata: ["name": "\(name)"])
            }
        }
    }

    // MARK: Telling

    /// Forwards may exchange sockets, and the service manager keeps none under two names: so it is told when all of a change is
    /// known.
    private func settleSoon() {
        guard !isSettling else { return }
        isSettling = true
        later { [self] in settle() }
    }

    /// Tells the service manager what changed since the last time.
    func settle() {
        isSettling = false
        let open = wanted.filter { $0.value.isOpen }
        let changes = kept.changes(to: open.mapValues { Self.identity(of: $0) })
        for name in changes.removed { notifier.removeStored(name) }
        for name in changes.stored { if let descriptor = open[name] { notifier.store(descriptor, as: name) } }
    }

    private static func identity(of descriptor: FileDescriptor) -> UInt64 {
        var status = stat()
        return fstat(descriptor.raw, &status) == 0 ? UInt64(status.st_ino) : 0
    }
}

/// Which socket is kept by which name. Pure: sockets are numbers.
struct KeptNames: Equatable {
    private var sockets: [String: UInt64] = [:]

    mutating func note(_ name: String, _ socket: UInt64) { sockets[name] = socket }

    /// What has to be told, removals first, so that it is as `wanted` says.
    mutating func changes(to wanted: [String: UInt64]) -> (removed: [String], stored: [String]) {
        let removed = sockets.keys.filter { wanted[$0] != sockets[$0] }.sorted()
        let stored = wanted.keys.filter { wanted[$0] != sockets[$0] }.sorted()
        sockets = wanted
        return (removed, stored)
    }
}
