import ArgumentParser
import ControlProtocol
import EicectlProxy

struct EndpointsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "endpoints", abstract: "List the endpoints in use and how full they are.")

    @OptionGroup var common: CommonOptions

    func run() throws {
        let result = try Session.call(Methods.EndpointList.self, NoParameters(), common)
        Report.answer(
            common.json ? try Output.json(result) : Output.endpoints(result.endpoints, .ofStdout()))
    }
}
