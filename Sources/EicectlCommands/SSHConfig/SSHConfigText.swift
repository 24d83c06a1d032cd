import ControlProtocol
import Failures

/// What `ssh_config` needs to know: how instances are reached by name, and a host for each forward. Pure.
struct SSHConfigText: Equatable {
    /// A forward as ssh sees it.
    struct Host: Codable, Equatable {
        /// What to type after `ssh`: the forward's name and `.forward`, so that no host of the user's own is shadowed.
        var host: String
        /// Where the forward listens.
        var address: String
        var port: UInt16
        /// Under what ssh keeps the host key. The address says nothing about who is behind it: another forward may have it
        /// tomorrow. An instance's id is its own for ever; of what else a forward may lead to, only its name is sure.
        var hostKeyAlias: String

        /// Nil for what ssh cannot reach so: another port than SSH's, a Unix socket, one that does not listen.
        init?(_ forward: ForwardInfo) {
            guard forward.remotePort == ServerPort.ssh, forward.state == .listening,
                let place = forward.addresses.first(where: { !$0.hasPrefix("/") }),
                let colon = place.lastIndex(of: ":"), let port = UInt16(place[place.index(after: colon)...])
            else { return nil }
            host = "\(forward.name).forward"
            let address = place[..<colon]
            self.address =
                address.hasPrefix("[") ? String(address.dropFirst().dropLast()) : Self.reachable(String(address))
            self.port = port
            hostKeyAlias = Self.isInstanceID(forward.target) ? forward.target.lowercased() : host
        }

        /// What a listener on all addresses can be reached by from here.
        private static func reachable(_ address: String) -> String { address == "0.0.0.0" ? "127.0.0.1" : address }

        private static func isInstanceID(_ target: String) -> Bool {
            let lower = target.lowercased()
            return lower.hasPrefix("i-") && [8, 17].contains(lower.utf8.count - 2)
                && lower.dropFirst(2).allSatisfy(\.isHexDigit)
        }
    }

    var hosts: [Host]
    /// What ssh runs: a path or a name, which is quoted here.
    var program: String
    /// The control socket, where it is not the one that is found anyway.
    var socket: String?

    /// The hosts that are reached through an endpoint: what a target may look like and a host of another kind hardly does.
    /// ssh compares them as they are typed (ssh_config(5), PATTERNS), so capitals and the dot after a full name have
    /// patterns of their own.
    static let patterns = [
        "i-*", "I-*", "*.eice", "*.EICE", "*.eice.", "ip-*.compute.internal", "ip-*.compute.internal.",
        "ip-*.ec2.internal", "ip-*.ec2.internal.",
    ]

    /// The first line of a file of ours.
    static let mark = "# Written by eicectl ssh-config --install, which replaces it: do not edit."

    init(forwards: [ForwardInfo], program: String, socket: String? = nil) {
        hosts = forwards.compactMap(Host.init)
        self.program = program
        self.socket = socket
    }

    /// The block, in ssh_config(5)'s words. For each setting ssh takes the first value that it finds, so forwards come first:
    /// the name of one may begin with `i-`, and then `ProxyCommand none` keeps the wildcard's off.
    var block: String {
        var text = ""
        for host in hosts {
            text += """
                Host \(host.host)
                    HostName \(host.address)
                    Port \(host.port)
                    HostKeyAlias \(host.hostKeyAlias)
                    ProxyCommand none

                """
        }
        let options = socket.map { " --socket \(Self.quoted($0))" } ?? ""
        return text + """
            Host \(Self.patterns.joined(separator: " "))
                ProxyCommand \(Self.quoted(program)) proxy %h %p\(options)
                ProxyUseFdpass yes

            """
    }

    /// The file that `--install` owns.
    var file: String {
        """
        \(Self.mark)
        # ssh keeps the key of a host under the name that stands after Host, or under HostKeyAlias: never under the address
        # that a forward happens to listen on.

        \(block)
        """
    }

    /// As the user's shell takes it (ssh runs the command with `$SHELL -c exec …`), with the percent signs that ssh itself
    /// would take for its own.
    private static func quoted(_ word: String) -> String {
        let plain = word.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "/._-+@:,%".utf8.contains(byte)
            }
        }
        let escaped = word.split(separator: "%", omittingEmptySubsequences: false).joined(separator: "%%")
        guard !plain else { return escaped }
        return "'" + escaped.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
    }
}
