import ArgumentParser
import ControlProtocol
import EicectlProxy

struct RemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove forwards and close their tunnels: all that are named, or none.")

    @Argument(help: ArgumentHelp("Names, as ls shows them.", valueName: "forward"), completion: .forwards)
    var forwards: [String]

    @OptionGroup var common: CommonOptions

    func run() throws {
        let result = try Session.call(Methods.ForwardRemove.self, ForwardRemoveParameters(names: forwards), common)
        Report.answer(common.json ? try Output.json(result) : Output.lines(result.removed.map { "removed \($0)" }))
    }
}
