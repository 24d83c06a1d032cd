import ArgumentParser
import ControlProtocol

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the daemon, its forwards, tunnels and endpoints, and the latest failures.")

    @OptionGroup var common: CommonOptions

    func run() throws {
        let result = try Session.call(Methods.Status.self, NoParameters(), common)
        Report.answer(common.json ? try Output.json(result) : Output.status(result, at: .now(), .ofStdout()))
    }
}
