import AWS
import Failures
import Glibc
import SocketIO

/// What the sandbox of the unit means for what a user asks for. Pure.
struct Sandbox {
    /// The drop-in to loosen.
    let dropIn: String

    init(dropIn: String) { self.dropIn = dropIn }

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

/// The sandbox that the service will be in, seen by `eiced --check` from outside: the drop-in's files, as systemd.unit(5)
/// finds them.
struct InstalledSandbox {
    private static let unit = "eiced.service"
    private static let dropIn = "\(unit).d/sandbox.conf"

    /// Where units of users are; what stands in an earlier one counts.
    let folders: [String]

    init(folders: [String]) { self.folders = folders }

    init(_ environment: Environment) {
        let own = environment["XDG_CONFIG_HOME"] ?? environment.homeDirectory.map { "\($0)/.config" }
        folders =
            (own.map { ["\($0)/systemd/user"] } ?? [])
            + ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"]
    }

    /// Whether there is the service, and its drop-in is neither absent nor masked.
    var isInForce: Bool {
        guard folders.contains(where: { access("\($0)/\(Self.unit)", F_OK) == 0 }) else { return false }
        for folder in folders {
            var status = stat()
            // An empty file masks as a link to /dev/null does.
            if stat("\(folder)/\(Self.dropIn)", &status) == 0 {
                return status.st_mode & S_IFMT == S_IFREG && status.st_size > 0
            }
        }
        return false
    }

    /// What of a configuration that is right as such the service would refuse, or not serve.
    func objections(to configuration: Configuration, of user: UInt32) -> [Failure] {
        guard isInForce else { return [] }
        let sandbox = Sandbox(dropIn: Self.dropIn)
        var objections: [Failure] = []
        do throws(Failure) {
            try VisibleUsers(map: "\(user) \(user) 1").check(configuration, sandbox: sandbox)
        } catch {
            objections.append(error)
        }
        for (_, forward) in configuration.forwards.sorted(by: { $0.key < $1.key }) {
            guard case .path(let path) = forward.local else { continue }
            do throws(Failure) {
                try sandbox.check(socket: path)
            } catch {
                objections.append(error)
            }
        }
        return objections
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
