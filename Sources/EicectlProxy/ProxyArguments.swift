import ControlProtocol
import Failures

/// What `proxy` was told, parsed by hand: the argument parser alone takes longer than the whole of `proxy` may.
struct ProxyArguments: Equatable {
    enum Mode: Equatable {
        /// As stdin and stdout look.
        case automatic
        case passDescriptor, copy
    }

    var target: String
    var port = ServerPort.ssh
    var mode = Mode.automatic
    var options = TunnelOptions()
    var socket: String?

    /// - Parameter arguments: those after the word `proxy`.
    init(_ arguments: [String]) throws(Failure) {
        var words: [String] = []
        var rest = arguments[...]
        var mode = Mode.automatic
        var options = TunnelOptions()
        var socket: String?
        var optionsEnded = false
        while let argument = rest.popFirst() {
            guard !optionsEnded, argument.hasPrefix("-"), argument != "-" else {
                words.append(argument)
                continue
            }
            if argument == "--" {
                optionsEnded = true
                continue
            }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            func value() throws(Failure) -> String {
                if parts.count == 2 { return String(parts[1]) }
                guard let next = rest.popFirst() else { throw Self.wrong("\(name) needs a value") }
                return next
            }
            if let setting = TunnelSetting.all.first(where: { name == "--\($0.option)" }) {
                try setting.parse(try value(), into: &options)
                continue
            }
            switch name {
            case "--socket": socket = try value()
            case "--pass-fd" where parts.count == 1, "--stdio" where parts.count == 1:
                let wanted = name == "--stdio" ? Mode.copy : .passDescriptor
                guard mode == .automatic || mode == wanted else {
                    throw Self.wrong("--pass-fd and --stdio exclude each other")
                }
                mode = wanted
            default: throw Self.wrong("there is no option \(argument)")
            }
        }
        guard let target = words.first, !target.isEmpty else { throw Self.wrong("TARGET is missing") }
        guard words.count <= 2 else { throw Self.wrong("\"\(words[2])\" is one word too many") }
        if words.count == 2 {
            guard let port = PortText.parse(words[1]), port > 0 else {
                throw Self.wrong("\"\(words[1])\" is no port: expected 1 to 65535")
            }
            self.port = port
        }
        self.target = target
        self.mode = mode
        self.options = options
        self.socket = socket
    }

    private static func wrong(_ why: String) -> Failure {
        Failure(
            .usage, "cannot understand proxy", why: why,
            hint: "eicectl proxy TARGET [PORT] [options]; eicectl proxy --help lists them")
    }
}
