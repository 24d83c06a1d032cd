import ArgumentParser
import ControlClient
import ControlProtocol
import EicectlProxy
import Failures

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Show the releases of eicectl and of the daemon that runs.")

    struct Versions: Codable, Equatable {
        var eicectl: String
        /// Absent when no daemon answers.
        var eiced: String?
        var `protocol`: ProtocolVersion
    }

    @OptionGroup var common: CommonOptions

    func run() throws {
        var versions = Versions(eicectl: EICEDVersion.current, protocol: EICEDVersion.controlProtocol)
        var reason = ""
        do throws(Failure) {
            let client = try ControlClient(
                path: try SocketPath.find(option: common.socket), client: Eicectl.name, timeout: .seconds(2))
            versions.eiced = try client.hello().version
        } catch {
            // A version is what one asks for when nothing works: no daemon is an answer, not a failure.
            reason = error.why.isEmpty ? error.what : error.why
        }
        Report.answer(common.json ? try Output.json(versions) : Output.versions(versions, reason))
    }
}
