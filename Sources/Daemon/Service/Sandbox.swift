import AWS
import Failures
import Glibc
import SocketIO

/// What the sandbox of the unit means for what a user asks for. Pure.
struct Sandbox {
    /// The drop-in to loosen.
    let dropIn: String

    /// Nil where the process is not in one.
    init?(_ environment: Environment) {
        guard let dropIn = environment["EICED_SANDBOX"] else { return nil }
        self.dropIn = dropIn
    }

    /// - Throws: when a socket at this path would be seen by nobody else.
    func check(socket path: String) throws(Failure) {
        for folder in ["/tmp/", "/var/tmp/"] where path.hasPrefix(folder) {
            throw Failure(
                .cannotListen, "cannot listen on \(path)", why: "the service has a \(folder) of its own (\(dropIn))",
                hint: "choose a path in $XDG_RUNTIME_DIR/eiced, or loosen the drop-in")
        }
    }
}

/// Which users this process can tell apart: in a user namespace (`PrivateUsers=yes`) all others look like nobody. Pure.
struct VisibleUsers {
    private let ranges: [Range<UInt64>]

    /// - Parameter map: the text of `/proc/self/uid_map` (user_namespaces(7)): first, first outside, count.
    init(map: String) {
        ranges = map.split(separator: "\n").compactMap { line in
            let numbers = line.split { $0 == " " || $0 == "\t" }.compactMap { UInt64($0) }
            return numbers.count == 3 ? numbers[0]..<(numbers[0] + numbers[2]) : nil
        }
    }

    func contains(_ user: UInt32) -> Bool { ranges.contains { $0.contains(UInt64(user)) } }

    /// - Throws: when a user is allowed whom this process could not recognise.
    func check(_ configuration: Configuration, sandbox: Sandbox?) throws(Failure) {
        let users = (configuration.defaults.allowUsers ?? []).union(configuration.forwards.values.flatMap(\.allowUsers))
        guard let hidden = users.sorted().first(where: { !contains($0) }) else { return }
        let dropIn = sandbox?.dropIn ?? "a user namespace"
        throw Failure(
            .configuration, "allow_users cannot be honoured",
            why: "inside of \(dropIn) the user \(hidden) cannot be told from others",
            hint: sandbox == nil
                ? "run eiced where it sees all users"
                : "mask the drop-in: ln -s /dev/null ~/.config/systemd/user/\(dropIn), then systemctl --user daemon-reload"
        )
    }
}

extension VisibleUsers {
    /// This process's own.
    static func current() -> VisibleUsers {
        var text = [UInt8](repeating: 0, count: 4_096)
        let raw = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC)
        // A kernel without user namespaces has no such file, and hides nobody.
        guard raw >= 0 else { return VisibleUsers(map: "0 0 4294967295") }
        let file = FileDescriptor(takingOwnership: raw)
        let count = read(file.raw, &text, text.count)
        return VisibleUsers(map: String(decoding: text.prefix(max(0, count)), as: UTF8.self))
    }
}
