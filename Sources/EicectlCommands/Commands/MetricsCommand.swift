import ArgumentParser
import ControlProtocol
import EicectlProxy

struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics", abstract: "Print the daemon's counters and gauges as OpenMetrics text.")

    @OptionGroup var common: CommonOptions

    func run() throws {
        let result = try Session.call(Methods.Metrics.self, NoParameters(), common)
        Report.answer(common.json ? try Output.json(result) : result.text)
    }
}
