import FoundationEssentials
import TestSupport

/// What `forwards.json` holds, as far as tests look at it.
struct StateFile: Decodable {
    struct Forward: Decodable {
        var name: String
        var profile: String?
        var region: String?
    }

    var version: Int
    var forwards: [Forward]

    var names: [String] { forwards.map(\.name) }

    static func path(in directory: TemporaryDirectory) -> String { directory("state/eiced/forwards.json") }

    /// Throws when it is not whole. Nil where there is none.
    static func read(in directory: TemporaryDirectory) throws -> StateFile? {
        guard let text = contents(of: path(in: directory)) else { return nil }
        do {
            return try JSONDecoder().decode(StateFile.self, from: Data(text.utf8))
        } catch {
            throw TestFailure("the state file is not whole: \(error)\n\(text)")
        }
    }
}

/// Options with which nothing is looked up.
let pinnedEndpoint = [
    "--endpoint", "eice-0123456789abcdef0", "--endpoint-dns", "eice-0123456789abcdef0.example", "--region", "eu-west-1",
]
