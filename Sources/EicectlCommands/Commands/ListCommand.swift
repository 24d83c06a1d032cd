import ArgumentParser
import ControlProtocol
import EicectlProxy

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the forwards.")

    @OptionGroup var common: CommonOptions

    func run() throws {
        let result = try Session.call(Methods.ForwardList.self, NoParameters(), common)
        Report.answer(common.json ? try Output.json(result) : Output.forwards(result.forwards, .ofStdout()))
    }
}
