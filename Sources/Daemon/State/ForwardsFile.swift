import ControlProtocol
import Failures
import FoundationEssentials
import Tunnels

/// The text of `forwards.json`. Pure: bytes to forwards and back.
enum ForwardsFile {
    static let name = "forwards.json"
    /// The newest version that this daemon understands. It writes the oldest that holds its forwards, so that an older daemon
    /// loses nothing: 1, 2 with variables of a shell, or what the table of settings says.
    static let version = TunnelSetting.all.map(\.since).reduce(environmentVersion, max)
    fileprivate static let environmentVersion = 2

    /// What a file is.
    enum Reading: Equatable, Sendable {
        case forwards([SavedForward])
        /// A newer daemon wrote it, and an older one would lose what it does not know.
        case fromTheFuture(version: Int)
        /// Nobody wrote it so, in words.
        case damaged(String)
    }

    private struct Head: Decodable { var version: Int }
    private struct Document: Codable {
        var version: Int
        var forwards: [SavedForward]
    }

    static func read(_ bytes: [UInt8]) -> Reading {
        let data = Data(bytes)
        let decoder = JSONDecoder()
        guard let head = try? decoder.decode(Head.self, from: data) else {
            return .damaged("it is not JSON with a \"version\"")
        }
        guard head.version <= version else { return .fromTheFuture(version: head.version) }
        guard head.version >= 1 else { return .damaged("there was never a version \(head.version)") }
        do {
            let forwards = try decoder.decode(Document.self, from: data).forwards
            var names: Set<String> = []
            for forward in forwards {
                _ = try forward.specification()
                guard names.insert(forward.name).inserted else { return .damaged("it has \(forward.name) twice") }
            }
            return .forwards(forwards)
        } catch let failure as Failure {
            return .damaged(failure.sentence)
        } catch {
            return .damaged("its forwards are not as they are written")
        }
    }

    /// Sorted and indented, so that people can read it and compare two of them.
    static func text(_ forwards: [SavedForward]) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let needed = forwards.map(\.version).max() ?? 1
        return Array(try encoder.encode(Document(version: needed, forwards: forwards))) + [UInt8(ascii: "\n")]
    }
}

extension SavedForward {
    /// The oldest version of the file that holds it.
    fileprivate var version: Int {
        TunnelSetting.all.filter { $0.isSet(in: tunnel) }.map(\.since)
            .reduce(self.environment == nil ? 1 : ForwardsFile.environmentVersion, max)
    }
}

/// The saved forwards and what a request makes of them. Pure.
struct ForwardList: Equatable, Sendable {
    private var byName: [String: SavedForward]

    init(_ forwards: [SavedForward] = []) {
        byName = Dictionary(forwards.map { ($0.name, $0) }) { _, later in later }
    }

    /// By name.
    var all: [SavedForward] { byName.values.sorted { $0.name < $1.name } }

    subscript(name: String) -> SavedForward? { byName[name] }

    /// - Parameters:
    ///   - removed: names, of which some may not be here: ephemeral forwards and those of the configuration are not.
    ///   - added: those of them that last are kept.
    func applying(removing removed: [String] = [], adding added: [ForwardSpecification] = []) -> ForwardList {
        var list = self
        for name in removed { list.byName[name] = nil }
        for specification in added where specification.isSaved {
            list.byName[specification.name] = SavedForward(specification)
        }
        return list
    }
}

extension ForwardSpecification {
    /// Whether it is to be there after a restart by way of the state file.
    var isSaved: Bool { origin == .request && !isEphemeral }
}
