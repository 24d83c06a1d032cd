import ArgumentParser
import ControlProtocol
import EicectlProxy

struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Apply a changed configuration, as a whole or not at all.")

    @OptionGroup var common: CommonOptions

    func run() throws {
        let result = try Session.call(
            Methods.Reload.self, NoParameters(), common, timeout: .seconds(60), busy: "reloading")
        for warning in result.warnings { Report.note("warning: \(warning)") }
        Report.answer(common.json ? try Output.json(result) : Output.reloaded(result))
    }
}
