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
        openStandardDescriptors()
        // A reader that is gone is an error of write(2), and is handled where it happens.
        signal(SIGPIPE, SIG_IGN)
    }

    /// Whoever closed stdin or stdout must not find our control socket in its place.
    private static func openStandardDescriptors() {
        for number in STDIN_FILENO...STDERR_FILENO where fcntl(number, F_GETFD) == -1 {
            // The lowest free number, which is this one.
            _ = open("/dev/null", O_RDWR)
        }
    }
}
