import ArgumentParser
import ControlProtocol
import EicectlProxy

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the daemon, its forwards, tunnels and endpoints, and the latest failures.",
        discussion: """
            With --watch the screen shows all of it anew each second, until q or Ctrl-C; with --watch --json a line of \
            JSON is printed each second.
            """)

    @Flag(name: .shortAndLong, help: "Show it again each second.")
    var watch = false

    @OptionGroup var common: CommonOptions

    func run() throws {
        if watch {
            try StatusWatch(common).run()
            return
        }
        let result = try Session.call(Methods.Status.self, NoParameters(), common)
        Report.answer(common.json ? try Output.json(result) : Output.status(result, at: .now(), .ofStdout()))
    }
}
