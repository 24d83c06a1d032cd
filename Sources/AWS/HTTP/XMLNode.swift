import Basics
import CExpat

/// An element of an XML answer: its text and its children in order. Attributes are not kept, since AWS's query protocol puts
/// nothing into them.
public struct XMLNode: Sendable, Hashable {
    public let name: String
    public fileprivate(set) var text = ""
    public fileprivate(set) var children: [XMLNode] = []

    /// What makes a document unreadable.
    public struct Malformation: Error, Sendable, Hashable {
        public let line: Int
        public let reason: String
    }

    private init(name: String) { self.name = name }

    /// The root element of a document.
    ///
    /// Document type declarations are refused, and with them entities of their own; elements nest at most 64 deep.
    public static func parse(_ bytes: [UInt8]) throws(Malformation) -> XMLNode {
        guard let parser = XML_ParserCreate(nil) else { throw Malformation(line: 0, reason: "expat is out of memory") }
        defer { XML_ParserFree(parser) }
        let builder = Builder(parser)
        return try withExtendedLifetime(builder) { () throws(Malformation) in
            XML_SetUserData(parser, Unmanaged.passUnretained(builder).toOpaque())
            XML_SetElementHandler(
                parser,
                { context, name, _ in Builder.from(context)?.begin(name) },
                { context, _ in Builder.from(context)?.end() })
            XML_SetCharacterDataHandler(parser) { context, text, count in Builder.from(context)?.add(text, count) }
            XML_SetStartDoctypeDeclHandler(parser) { context, _, _, _, _ in
                Builder.from(context)?.refuse("it has a document type declaration")
            }
            let status = bytes.withUnsafeBytes { buffer in
                XML_Parse(parser, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(buffer.count), 1)
            }
            guard status == XML_STATUS_OK, let root = builder.root else {
                let line = Int(XML_GetCurrentLineNumber(parser))
                let reason = builder.refusal ?? XML_ErrorString(XML_GetErrorCode(parser)).map { String(cString: $0) }
                throw Malformation(line: line, reason: reason ?? "it is empty")
            }
            return root
        }
    }

    /// The first child of that name.
    public subscript(_ name: String) -> XMLNode? { children.first { $0.name == name } }

    /// The text of a child, without blanks around it; nil where it is absent or empty.
    public func value(_ name: String) -> String? {
        guard let text = self[name]?.text.trimmingWhitespace(), !text.isEmpty else { return nil }
        return text
    }

    /// The `item` children of a list element.
    public func items(_ name: String) -> [XMLNode] { self[name]?.children.filter { $0.name == "item" } ?? [] }

    /// The first element of that name, itself or anywhere below, in document order.
    public func first(_ name: String) -> XMLNode? {
        if self.name == name { return self }
        for child in children {
            if let found = child.first(name) { return found }
        }
        return nil
    }

    private final class Builder {
        private let parser: XML_Parser
        private var open: [XMLNode] = []
        var root: XMLNode?
        var refusal: String?

        init(_ parser: XML_Parser) { self.parser = parser }

        static func from(_ context: UnsafeMutableRawPointer?) -> Builder? {
            context.map { Unmanaged<Builder>.fromOpaque($0).takeUnretainedValue() }
        }

        func begin(_ name: UnsafePointer<CChar>?) {
            guard let name else { return }
            guard open.count < 64 else { return refuse("its elements nest too deep") }
            // `ns:item` and `item` are one: the answers use a default namespace.
            let full = String(cString: name)
            open.append(XMLNode(name: full.split(separator: ":").last.map(String.init) ?? full))
        }

        func end() {
            guard let node = open.popLast() else { return }
            if open.isEmpty { root = node } else { open[open.count - 1].children.append(node) }
        }

        func add(_ text: UnsafePointer<CChar>?, _ count: Int32) {
            guard let text, !open.isEmpty else { return }
            let bytes = UnsafeRawBufferPointer(start: text, count: Int(count))
            open[open.count - 1].text += String(decoding: bytes, as: UTF8.self)
        }

        func refuse(_ reason: String) {
            refusal = refusal ?? reason
            XML_StopParser(parser, XML_Bool(XML_FALSE))
        }
    }
}
