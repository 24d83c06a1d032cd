import Glibc
import SocketIO
import Transport

// The settings of who may use a forward.

extension ConfigurationSetting {
    /// Users by name or number. Names are looked up once, when the file is read: a user who is renamed keeps the number.
    static func users(_ name: String, _ path: Path<Set<UInt32>?>) -> Self {
        Self(
            name: name, expected: "an array of users of this machine, by name or number, such as [\"ann\", 1001]",
            standard: { _ in nil },
            read: { node, values in
                guard let elements = node.elements else { return false }
                var users: Set<UInt32> = []
                for element in elements {
                    guard let user = UserNumber.of(element) else { return false }
                    users.insert(user)
                }
                values[keyPath: path] = users
                return true
            },
            element: ("a user of this machine, by name or number", { UserNumber.of($0) != nil }))
    }

    static func networks(_ name: String, _ path: Path<[Network]?>) -> Self {
        Self(
            name: name, expected: "an array of networks, such as [\"10.0.0.0/8\", \"fd00::/8\"]",
            standard: { _ in nil },
            read: { node, values in
                guard let elements = node.elements else { return false }
                let networks = elements.compactMap { $0.text.flatMap(Network.init(parsing:)) }
                guard networks.count == elements.count else { return false }
                values[keyPath: path] = networks
                return true
            },
            element: ("a network such as \"10.0.0.0/8\"", { $0.text.flatMap(Network.init(parsing:)) != nil }))
    }
}

/// The number of a user.
enum UserNumber {
    static func of(_ node: TOMLNode) -> UInt32? {
        // (uid_t)-1 is nobody's: calls take it as "no change".
        if let number = node.number { return UInt32(exactly: number).flatMap { $0 == .max ? nil : $0 } }
        return node.text.flatMap(named)
    }

    /// Asks the system's user database (getpwnam(3)), which may be a network's. Nil where it has no such user.
    static func named(_ name: String) -> UInt32? {
        guard !name.isEmpty, !name.utf8.contains(0) else { return nil }
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        while true {
            let code = getpwnam_r(name, &entry, &buffer, buffer.count, &found)
            switch code {
            case ERANGE where buffer.count < 1 << 20: buffer = [CChar](repeating: 0, count: buffer.count * 4)
            case EINTR: continue
            default: return found.map { $0.pointee.pw_uid }
            }
        }
    }
}
