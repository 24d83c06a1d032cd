import ArgumentParser
import ControlProtocol
import EicectlProxy

struct CloseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "close", abstract: "Close tunnels: all that are named, or none.")

    @Argument(help: ArgumentHelp("Ids, as tunnels shows them.", valueName: "tunnel"), completion: .tunnels)
    var tunnels: [String]

    @OptionGroup var common: CommonOptions

    func run() throws {
        let result = try Session.call(Methods.TunnelClose.self, TunnelCloseParameters(ids: tunnels), common)
        Report.answer(common.json ? try Output.json(result) : Output.lines(result.closed.map { "closed \($0)" }))
    }
}
