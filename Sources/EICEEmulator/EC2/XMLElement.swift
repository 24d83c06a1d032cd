/// An element of the XML that EC2's Query API answers with: text or children, nothing else.
struct XMLElement: Sendable {
    var name: String
    var attributes = ""
    var text = ""
    var children: [XMLElement] = []

    init(_ name: String, _ text: String) {
        self.name = name
        self.text = text
    }

    init(_ name: String, _ number: Int) { self.init(name, String(number)) }

    init(_ name: String, _ flag: Bool) { self.init(name, flag ? "true" : "false") }

    init(_ name: String, _ children: [XMLElement?]) {
        self.name = name
        self.children = children.compactMap { $0 }
    }

    /// A list as EC2 writes it: each member an `<item>`.
    static func list(_ name: String, _ items: [[XMLElement?]]) -> XMLElement {
        XMLElement(name, items.map { XMLElement("item", $0) })
    }

    static func list(_ name: String, texts: [String]) -> XMLElement {
        XMLElement(name, texts.map { XMLElement("item", $0) })
    }

    /// The whole document, indented as EC2's are.
    func document() -> [UInt8] {
        var text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        write(to: &text, depth: 0)
        return Array(text.utf8)
    }

    private func write(to output: inout String, depth: Int) {
        let indentation = String(repeating: " ", count: 4 * depth)
        output += "\(indentation)<\(name)\(attributes)"
        if !children.isEmpty {
            output += ">\n"
            for child in children { child.write(to: &output, depth: depth + 1) }
            output += "\(indentation)</\(name)>\n"
        } else if text.isEmpty {
            output += "/>\n"
        } else {
            output += ">\(Self.escape(text))</\(name)>\n"
        }
    }

    static func escape(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            // Control characters other than these three cannot stand in XML 1.0 at all.
            case "\t", "\n", "\r": result += "&#\(scalar.value);"
            case _ where scalar.value < 32: result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
