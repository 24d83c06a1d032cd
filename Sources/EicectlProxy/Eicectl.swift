import ControlProtocol
import Failures
import Glibc

/// The program `eicectl`: does `proxy`, for which ssh waits, and becomes ``CommandsProgram`` for everything else.
public enum Eicectl {
    /// What the daemon's log calls us.
    public static let name = "eicectl \(EICEDVersion.current)"

    /// - Parameter arguments: those of the process, its own name first.
    public static func run(_ arguments: [String]) -> Never {
        prepareProcess()
        let words = arguments.dropFirst()
        if words.first == "proxy", !words.contains(where: { $0 == "--help" || $0 == "-h" }) {
            Proxy.run(Array(words.dropFirst()))
        }
        Report.fail(CommandsProgram.become(Array(words)))
    }

    /// What both programs begin with.
    public static func prepareProcess() {
        // A reader that is gone is an error of write(2), and is handled where it happens.
        signal(SIGPIPE, SIG_IGN)
    }
}
