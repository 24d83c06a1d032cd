import ControlClient
import ControlProtocol
import EicectlProxy
import Failures
import Glibc

/// `status --watch`: asks the daemon each second for as long as somebody looks.
struct StatusWatch {
    private static let interval = Duration.seconds(1)

    private let common: CommonOptions
    private let path: String
    private var client: ControlClient?

    init(_ common: CommonOptions) throws(Failure) {
        self.common = common
        path = try SocketPath.find(option: common.socket)
    }

    func run() throws {
        var watch = self
        if common.json {
            try watch.printLines()
            return
        }
        guard isatty(STDOUT_FILENO) == 1 else {
            throw Failure(
                .usage, "--watch needs a terminal", why: "stdout is none",
                hint: "eicectl status --watch --json prints a line each second")
        }
        try watch.draw()
    }

    /// Over one session, and a new one where that broke: the daemon may have been restarted.
    private mutating func ask() throws(Failure) -> StatusResult {
        do throws(Failure) {
            if let client { return try client.call(Methods.Status.self, NoParameters()) }
            let fresh = try ControlClient(path: path, client: Eicectl.name)
            client = fresh
            return try fresh.call(Methods.Status.self, NoParameters())
        } catch {
            client = nil
            throw error
        }
    }

    private mutating func printLines() throws {
        while true {
            Report.answer(try Output.jsonLine(try ask()))
            if Report.isOver { return }
            var polled = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
            // A reader that goes ends it at once.
            if poll(&polled, 1, CInt(Self.interval / .milliseconds(1))) > 0, Report.readerIsGone { return }
        }
    }

    private mutating func draw() throws(Failure) {
        // What fails from the start is an error like any other; later ones are shown, and the next second tries again.
        var status = try ask()
        var rates = TunnelRates()
        var trouble: String?
        rates.note(status.tunnels, at: .now)
        let terminal = try Terminal()
        defer { terminal.leave() }
        let style = Style.ofStdout()
        while true {
            let size = terminal.size
            let text = StatusScreen.text(status, rates, trouble: trouble, at: .now(), style)
            terminal.draw(StatusScreen.fit(text, columns: size.columns, rows: size.rows))
            switch terminal.wait(Self.interval) {
            case .quit: return
            case .redraw: continue
            case .elapsed: break
            }
            do throws(Failure) {
                status = try ask()
                trouble = nil
                rates.note(status.tunnels, at: .now)
            } catch {
                trouble = error.sentence
                rates = TunnelRates()
            }
        }
    }
}
