import CLinux
import CSystemd
import Glibc
import SocketIO

/// The descriptors that the service manager passed at the start (sd_listen_fds(3)), by name: their order changes between
/// boots. A `.socket` unit with several addresses has several of one name, in the order of its lines.
public struct AdoptedSockets: Sendable {
    private var byName: [String: [FileDescriptor]]

    /// None were passed.
    public init() { byName = [:] }

    init(descriptors: [FileDescriptor], names: [String]) {
        byName = [:]
        for (index, descriptor) in descriptors.enumerated() {
            // A manager without names, and a unit without FileDescriptorName=, is not told apart: the name is "unknown".
            byName[index < names.count ? names[index] : "unknown", default: []].append(descriptor)
        }
    }

    /// Puts descriptors that came another way beside them.
    public mutating func add(_ descriptors: [FileDescriptor], named name: String) {
        byName[name, default: []] += descriptors
    }

    /// Takes ownership of what was passed: each descriptor is close-on-exec from here on, and the variables are removed,
    /// so that no child takes them for its own.
    ///
    /// Once, and before there are threads: it changes the environment.
    public static func take() throws(SystemError) -> AdoptedSockets {
        var list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = sd_listen_fds_with_names(1, &list)
        guard count >= 0 else { throw SystemError("adopt sockets", code: -count) }
        var names: [String] = []
        if let list {
            for index in 0..<Int(count) {
                guard let name = list[index] else { break }
                names.append(String(cString: name))
                free(name)
            }
            free(list)
        }
        let descriptors = (0..<count).map { FileDescriptor(takingOwnership: firstDescriptor + $0) }
        return AdoptedSockets(descriptors: descriptors, names: names)
    }

    /// SD_LISTEN_FDS_START, which is a macro.
    private static let firstDescriptor: CInt = 3

    public var isEmpty: Bool { byName.isEmpty }
    /// The names that nobody took yet, sorted.
    public var names: [String] { byName.keys.sorted() }

    /// Hands out the descriptors of a name; what is left when this value goes is closed.
    public mutating func remove(named name: String) -> [FileDescriptor] { byName.removeValue(forKey: name) ?? [] }
}
