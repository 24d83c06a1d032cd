import Basics
import Failures

/// Reads the fields of an answer of EC2 as the rest of the program may use them: names of things by their pattern, or not at all;
/// what people write (tags, state messages) as text for messages. What the request had of secrets is not in them.
struct AnswerReader {
    /// EC2's bound on a tag's value (EC2 User Guide, "Tag restrictions").
    private static let longestTag = 256

    private let sent: SecretWindows

    init(sent: Redaction) { self.sent = sent.windows }

    func id(_ node: XMLNode, _ name: String, prefix: String) -> String? {
        value(node, name) { Identifier.isResource($0, prefix: prefix) }
    }

    func word(_ node: XMLNode, _ name: String) -> String? { value(node, name) { Identifier.isWord($0) } }

    func hostName(_ node: XMLNode, _ name: String) -> String? { value(node, name, where: Identifier.isHostName) }

    /// As `inet_ntop` writes it.
    func address(_ node: XMLNode, _ name: String) -> String? {
        node.value(name).flatMap { IPAddress($0) }?.description
    }

    func text(_ node: XMLNode, _ name: String, limit: Int) -> String? {
        node.value(name).map { ForeignText.excerpt(sent.removed(from: $0), limit: limit) }
    }

    /// Blanks stay as they are, since a target is compared with the tag `Name`.
    func tags(_ node: XMLNode) -> [String: String] {
        var tags: [String: String] = [:]
        for item in node.items("tagSet") {
            if let key = item.value("key") { tags[tag(key)] = tag(item["value"]?.text ?? "") }
        }
        return tags
    }

    private func tag(_ text: String) -> String {
        ForeignText.line(sent.removed(from: text), limit: Self.longestTag)
    }

    private func value(_ node: XMLNode, _ name: String, where isValid: (String) -> Bool) -> String? {
        guard let text = node.value(name), isValid(text), sent.removed(from: text) == text else { return nil }
        return text
    }
}
