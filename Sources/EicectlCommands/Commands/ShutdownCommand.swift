import ArgumentParser
import ControlProtocol
import EicectlProxy
import Failures

struct ShutdownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shutdown", abstract: "End the daemon. Forwards that are not ephemeral come back with it.")

    @Option(help: ArgumentHelp("How long open tunnels may go on.", valueName: "time"))
    var drain: String?

    @Flag(help: "Hand over to the daemon as it is installed now: nobody is refused, and open tunnels go on.")
    var handover = false

    @OptionGroup var common: CommonOptions

    func run() throws {
        var parameters = ShutdownParameters()
        if let drain {
            guard let length = DurationText.parse(drain), let seconds = Int(exactly: length.components.seconds) else {
                throw Failure(.usage, "--drain \(drain)", why: "expected \(DurationText.expectation)")
            }
            parameters.drain = seconds
        }
        if handover {
            guard drain == nil else {
                throw Failure(
                    .usage, "--drain and --handover exclude each other",
                    why: "at a hand-over open tunnels go on until they end")
            }
            parameters.handover = true
        }
        // The daemon gives its successor half a minute.
        let result = try Session.call(
            Methods.Shutdown.self, parameters, common, timeout: .seconds(handover ? 45 : 10),
            busy: handover ? "waiting for the new eiced" : "waiting for eiced")
        Report.answer(common.json ? try Output.json(result) : Output.stopping(result))
    }
}
