import FoundationEssentials

/// Any JSON value.
enum JSONValue: Decodable, Hashable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    subscript(key: String) -> JSONValue? {
        if case .object(let members) = self { members[key] } else { nil }
    }
}

/// Checks values against the part of JSON Schema 2020-12 that the control protocol's schema uses. A keyword that it does
/// not know is an error, so that no rule of the schema goes unchecked.
struct JSONSchema {
    struct Unsupported: Error {
        let what: String
    }

    let root: JSONValue

    /// Keywords that describe and do not check.
    static let annotations: Set<String> = ["$schema", "$defs", "title", "description", "format"]

    /// What is wrong with `value`: one line each, empty when it is valid. `closed` also objects to members that
    /// the schema does not name, which is how the test notices a field that nobody documented.
    func problems(of value: JSONValue, definition name: String, closed: Bool = true) throws -> [String] {
        try problems(of: value, against: .object(["$ref": .string("#/$defs/\(name)")]), at: "$", closed: closed)
    }

    private func problems(of value: JSONValue, against schema: JSONValue, at path: String, closed: Bool) throws
        -> [String]
    {
        guard case .object(let keywords) = schema else { throw Unsupported(what: "a schema that is no object") }
        var found: [String] = []
        for (keyword, rule) in keywords where !Self.annotations.contains(keyword) {
            switch (keyword, rule) {
            case ("$ref", .string(let reference)):
                let name = String(reference.dropFirst("#/$defs/".count))
                guard let target = root["$defs"]?[name] else { throw Unsupported(what: reference) }
                found += try problems(of: value, against: target, at: path, closed: closed)
            case ("type", .string(let type)):
                if !Self.has(value, type) { found.append("\(path) is no \(type)") }
            case ("const", let constant):
                if value != constant { found.append("\(path) is not \(constant)") }
            case ("enum", .array(let choices)):
                if !choices.contains(value) { found.append("\(path) is none of \(choices)") }
            case ("minimum", .integer(let bound)):
                if case .integer(let number) = value, number < bound { found.append("\(path) is below \(bound)") }
            case ("maximum", .integer(let bound)):
                if case .integer(let number) = value, number > bound { found.append("\(path) is above \(bound)") }
            case ("minItems", .integer(let bound)):
                if case .array(let items) = value, items.count < bound { found.append("\(path) has too few items") }
            case ("items", let rule):
                guard case .array(let items) = value else { break }
                for (index, item) in items.enumerated() {
                    found += try problems(of: item, against: rule, at: "\(path)[\(index)]", closed: closed)
                }
            case ("properties", .object(let properties)):
                guard case .object(let members) = value else { break }
                for (name, member) in members {
                    if let rule = properties[name] {
                        found += try problems(of: member, against: rule, at: "\(path).\(name)", closed: closed)
                    } else if closed || keywords["additionalProperties"] == .bool(false) {
                        found.append("\(path).\(name) is not in the schema")
                    }
                }
            case ("additionalProperties", .bool(false)): break  // with properties, above
            case ("additionalProperties", .object):
                // Objects with any names, whose members have one form.
                guard case .object(let members) = value, keywords["properties"] == nil else { break }
                for (name, member) in members {
                    found += try problems(of: member, against: rule, at: "\(path).\(name)", closed: closed)
                }
            case ("required", .array(let names)):
                for case .string(let name) in names where value[name] == nil {
                    found.append("\(path).\(name) is missing")
                }
            case ("oneOf", .array(let choices)):
                let matches = try choices.filter { choice in
                    try problems(of: value, against: choice, at: path, closed: closed).isEmpty
                }
                if matches.count != 1 { found.append("\(path) matches \(matches.count) of oneOf") }
            case ("anyOf", .array(let choices)):
                let matches = try choices.contains { choice in
                    try problems(of: value, against: choice, at: path, closed: closed).isEmpty
                }
                if !matches { found.append("\(path) matches none of anyOf") }
            default: throw Unsupported(what: keyword)
            }
        }
        return found
    }

    private static func has(_ value: JSONValue, _ type: String) -> Bool {
        switch (type, value) {
        case ("object", .object), ("array", .array), ("string", .string), ("integer", .integer), ("boolean", .bool),
            ("null", .null), ("number", .integer), ("number", .number):
            true
        default: false
        }
    }
}
