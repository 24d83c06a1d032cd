import ArgumentParser
import ControlProtocol
import Descriptors
import EicectlProxy
import Failures
import Glibc

struct SSHConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ssh-config",
        abstract: "Print or install what ssh needs to reach instances and forwards by name.",
        discussion: """
            eicectl ssh-config --install
            ssh ec2-user@i-0123456789abcdef0         an instance by its id
            ssh ec2-user@web-1.eice                  by its Name tag, web-1
            ssh ec2-user@web.forward                 through the forward named web, if it leads to port 22

            --install writes the block into ~/.ssh/eiced.conf, which is its own, and adds one Include line to the beginning \
            of ~/.ssh/config, once. Run it again after forwards were added or removed. Delete the file to undo it.

            Each forward has a HostKeyAlias, since its address says nothing about who is behind it: ssh does not raise an \
            alarm when another forward gets the port of an old one, and does when another machine answers for the same \
            instance.
            """)

    @Flag(help: "Install it for this user.")
    var install = false

    @OptionGroup var common: CommonOptions

    /// The name in `~/.ssh`.
    static let fileName = "eiced.conf"

    struct Printed: Codable {
        var text: String
        var hosts: [SSHConfigText.Host]
    }

    struct Installed: Codable {
        var file: String
        var config: String
        /// False: all was there already.
        var changed: Bool
        var hosts: [SSHConfigText.Host]
    }

    func run() throws {
        let text = SSHConfigText(
            forwards: forwards(), program: Self.program(environment: environmentVariable),
            // ssh starts eicectl in whatever folder it is in itself.
            socket: common.socket.map { AbsolutePath.of($0) ?? $0 })
        guard install else {
            guard common.json else { return Report.answer(file: text.block) }
            return Report.answer(try Output.json(Printed(text: text.block, hosts: text.hosts)))
        }
        guard let home = environmentVariable("HOME"), home.hasPrefix("/") else {
            throw Failure(.configuration, "there is no home folder", hint: "set HOME")
        }
        let installed = try Self.install(text, home: home)
        Report.answer(common.json ? try Output.json(installed) : Self.answer(installed))
    }

    /// Without a daemon the rest is still of use.
    private func forwards() -> [ForwardInfo] {
        do throws(Failure) {
            return try Session.call(Methods.ForwardList.self, NoParameters(), common).forwards
        } catch {
            Report.note("warning: forwards are left out: \(error.sentence)")
            return []
        }
    }

    static func answer(_ installed: Installed) -> String {
        var table = Table(["HOST", "LEADS TO"])
        table.add(plain: ["i-0123456789abcdef0", "an instance by its id"])
        table.add(plain: ["NAME.eice", "an instance by its Name tag"])
        for host in installed.hosts { table.add(plain: [host.host, "\(host.address) port \(host.port)"]) }
        let place = "\(installed.file), which \(installed.config) includes"
        return (installed.changed ? "installed in" : "nothing to do: all is in") + " \(place)\n\n"
            + table.text(.plain)
    }

    // MARK: Installing

    static func install(_ text: SSHConfigText, home: String) throws(Failure) -> Installed {
        let include = SSHConfigInclude(home: trimmed(home), name: fileName)
        let config = "\(include.home)/.ssh/config"
        try makeFolder("\(include.home)/.ssh")
        var changed = false
        // What is included stands before it is named.
        try replace(include.path) { (old) throws(Failure) in
            if let old, !old.isEmpty, !old.starts(with: SSHConfigText.mark.utf8) {
                throw Failure(
                    .stateNotSaved, "\(include.path) is left alone", why: "it was not written by eicectl",
                    hint: "give that file another name, then run this again")
            }
            let new = text.file.systemBytes
            guard old != new else { return nil }
            changed = true
            return new
        }
        try replace(config) { (old) throws(Failure) in
            let new = include.added(to: old ?? [])
            changed = changed || new != nil
            return new
        }
        return Installed(file: include.path, config: config, changed: changed, hosts: text.hosts)
    }

    private static func trimmed(_ path: String) -> String {
        var path = path[...]
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path == "/" ? "" : String(path)
    }

    private static func makeFolder(_ path: String) throws(Failure) {
        guard mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        throw Failure(.stateNotSaved, "cannot make \(path)", why: SystemError("mkdir").reason)
    }

    /// - Parameter edit: what is to stand there; nil to leave the file as it is.
    private static func replace(
        _ path: String, _ edit: ([UInt8]?) throws(Failure) -> [UInt8]?
    ) throws(Failure) {
        do {
            let file = try ReplacedFile(path)
            guard let new = try edit(file.content) else { return }
            try file.replace(with: new)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(
                .stateNotSaved, "cannot write \(path)", why: "\(error)",
                hint: "eicectl ssh-config prints what would stand there")
        }
    }

    // MARK: This program

    /// `eicectl`, or its path where that word would start another one or none.
    static func program(environment: (String) -> String?) -> String {
        let own = CommandsProgram.eicectlPath ?? ""
        // A copy under another name is not found: which one that was is not known here.
        guard access(own, X_OK) == 0, !own.utf8.contains(0xA) else { return "eicectl" }
        for folder in (environment("PATH") ?? "").split(separator: ":") where folder.hasPrefix("/") {
            let candidate = "\(folder)/eicectl"
            guard access(candidate, X_OK) == 0 else { continue }
            return isSameFile(candidate, own) ? "eicectl" : own
        }
        return own
    }

    private static func isSameFile(_ one: String, _ other: String) -> Bool {
        var first = stat()
        var second = stat()
        return stat(one, &first) == 0 && stat(other, &second) == 0 && first.st_dev == second.st_dev
            && first.st_ino == second.st_ino
    }
}
