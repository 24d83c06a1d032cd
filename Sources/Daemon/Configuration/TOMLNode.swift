import CTOML
import FoundationEssentials
import Glibc

/// A value of a TOML document and the place it stands at, as `ctoml_parse` writes it.
struct TOMLNode: Decodable, Sendable {
    /// "table", "array", "string", "integer", "boolean", "float", "date", "time", "date-time" or "error".
    var type: String
    /// From 1.
    var line: Int
    /// In characters, from 1.
    var column: Int
    /// A table's.
    var entries: [Entry]?
    /// A string's, or what is wrong with the document.
    var text: String?
    /// An integer's.
    var number: Int64?
    /// A boolean's.
    var flag: Bool?
    /// An array's.
    var elements: [TOMLNode]?

    struct Entry: Decodable, Sendable {
        var key: String
        var line: Int
        var column: Int
        var value: TOMLNode
    }

    /// What stands there, for a person: `the string "x"`.
    var found: String {
        switch type {
        case "string": "the string \(String(reflecting: String((text ?? "").prefix(60))))"
        case "integer": "the number \(number ?? 0)"
        case "boolean": flag == true ? "true" : "false"
        case "array": "an array"
        case "table": "a table"
        default: "a \(type)"
        }
    }

    /// Reads a document. What is no TOML comes back as a node of the type "error", with the place and the reason.
    static func parse(_ document: [UInt8]) -> TOMLNode {
        let json = document.withUnsafeBytes { bytes in
            ctoml_parse(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        guard let json else { return failed("there is not enough memory to read it") }
        defer { ctoml_free(json) }
        do {
            return try JSONDecoder().decode(TOMLNode.self, from: Data(bytes: json, count: strlen(json)))
        } catch {
            // The decoder's own limit of depth is the one thing that can stand in the way here.
            return failed("its tables are nested too deeply")
        }
    }

    private static func failed(_ why: String) -> TOMLNode { TOMLNode(type: "error", line: 1, column: 1, text: why) }
}
