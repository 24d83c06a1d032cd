import ArgumentParser
import ControlProtocol
import EicectlProxy

struct TunnelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "tunnels", abstract: "List the tunnels.")

    @Argument(help: "Only those of this forward.", completion: .forwards)
    var forward: String?

    @OptionGroup var common: CommonOptions

    func run() throws {
        let result = try Session.call(Methods.TunnelList.self, TunnelListParameters(forward: forward), common)
        Report.answer(
            common.json ? try Output.json(result) : Output.tunnels(result.tunnels, at: .now(), .ofStdout()))
    }
}
