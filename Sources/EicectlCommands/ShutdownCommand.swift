import ArgumentParser
import ControlProtocol
import Failures

struct ShutdownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shutdown", abstract: "End the daemon. Forwards that are not ephemeral come back with it.")

    @Option(help: ArgumentHelp("How long open tunnels may go on.", valueName: "time"))
    var drain: String?

    @OptionGroup var common: CommonOptions

    func run() throws {
        var parameters = ShutdownParameters()
        if let drain {
            guard let length = DurationText.parse(drain), let seconds = Int(exactly: length.components.seconds) else {
                throw Failure(.usage, "--drain \(drain)", why: "expected \(DurationText.expectation)")
            }
            parameters.drain = seconds
        }
        let result = try Session.call(Methods.Shutdown.self, parameters, common)
        Report.answer(common.json ? try Output.json(result) : Output.stopping(result))
    }
}
