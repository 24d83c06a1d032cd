/// `hello` and `connect` in one write, and the two replies to them, without `Codable` (see ``JSONText``).
public enum QuickConnect {
    /// The id of `connect`; `hello` has the one before.
    public static let connectID = 2

    public static func request(_ parameters: ConnectParameters, client: String) -> [UInt8] {
        var text = JSONText()
        text.object { message in
            message.member("jsonrpc", "2.0")
            message.member("id", connectID - 1)
            message.member("method", Methods.Hello.name)
            message.object("params") { params in
                params.object("protocol") { version in
                    version.member("major", EICEDVersion.controlProtocol.major)
                    version.member("minor", EICEDVersion.controlProtocol.minor)
                }
                params.member("client", client)
            }
        }
        text.endLine()
        text.object { message in
            message.member("jsonrpc", "2.0")
            message.member("id", connectID)
            message.member("method", Methods.Connect.name)
            message.object("params") { params in
                params.member("target", parameters.target)
                params.member("remotePort", Int(parameters.remotePort))
                params.member("handoff", parameters.handoff)
                params.member("notices", parameters.notices)
                params.object("options") { write(parameters.options, into: &$0) }
            }
        }
        text.endLine()
        return text.bytes
    }

    private static func write(_ options: TunnelOptions, into text: inout JSONText) {
        for setting in TunnelSetting.all where setting.places.contains(.requests) {
            switch setting[options] {
            case .text(let value): text.member(named: setting.name, value)
            case .seconds(let value): text.member(named: setting.name, value)
            case nil: break
            }
        }
        guard let environment = options.environment else { return }
        text.object("environment") { text in
            text.member("profile", environment.profile)
            text.member("region", environment.region)
            text.member("defaultRegion", environment.defaultRegion)
            text.member("accessKeyID", environment.accessKeyID)
            if let variables = environment.variables {
                text.object("variables") { text in
                    for variable in AWSVariable.all { text.member(named: variable.name, variables[variable.name]) }
                }
            }
            text.member("files", environment.files)
        }
    }

    /// Whether a reply carries a result. False for an error and for all that is no reply: then the line deserves to be
    /// decoded in full.
    public static func isResult(_ line: [UInt8]) -> Bool {
        let keys = topLevelKeys(line)
        return keys.contains("result") && !keys.contains("error")
    }

    /// Whether a line is a notification, which comes before the reply.
    public static func isNotification(_ line: [UInt8]) -> Bool {
        let keys = topLevelKeys(line)
        return keys.contains("method") && !keys.contains("id")
    }

    /// The names of an object's own members, not those of objects inside it. Escapes in names are left as they are: none
    /// of ours has any.
    static func topLevelKeys(_ line: [UInt8]) -> [String] {
        var keys: [String] = []
        var depth = 0
        var string: Int?
        var escaped = false
        var last: Range<Int>?
        for (index, byte) in line.enumerated() {
            if let start = string {
                if escaped {
                    escaped = false
                } else if byte == UInt8(ascii: "\\") {
                    escaped = true
                } else if byte == UInt8(ascii: "\"") {
                    string = nil
                    last = start + 1..<index
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): string = index
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: ":"):
                if depth == 1, let name = last { keys.append(String(decoding: line[name], as: UTF8.self)) }
            default: break
            }
        }
        return keys
    }
}
