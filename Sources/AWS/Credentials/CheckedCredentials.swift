import Basics
import Failures

extension CredentialSource {
    /// Asks the source, and checks the keys: the only way in which the chain and a role ask one.
    /// - Throws: what the source throws, or `.noCredentials` for keys that no request can carry.
    func checkedCredentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        try await credentials(in: context)?.checked()
    }
}

extension Credentials {
    /// The same credentials, if HTTP headers can carry them.
    ///
    /// Key id and token become header values, so each part must consist of visible ASCII characters: a line feed would
    /// begin a header of its own (RFC 9110, section 5.5). An empty token means that there is none, as in botocore, and so
    /// does the word `null`, which scripts print for one.
    /// - Throws: `.noCredentials`, which names the source and the flaw but never a value.
    func checked() throws(Failure) -> Credentials {
        let token = Self.present(sessionToken)
        let parts =
            [("access key id", accessKeyID), ("secret access key", secretAccessKey)]
            + (token.map { [("session token", $0)] } ?? [])
        for (name, value) in parts {
            guard let flaw = HeaderText.flaw(of: value) else { continue }
            throw Failure(
                .noCredentials, "cannot use the credentials from \(origin)", why: "the \(name) \(flaw)", hint: renewal)
        }
        guard token != sessionToken else { return self }
        return Credentials(
            accessKeyID: accessKeyID, secretAccessKey: secretAccessKey, sessionToken: token, expiration: expiration,
            mayOutliveEnd: mayOutliveEnd, origin: origin, renewal: renewal)
    }

    /// A value that a document or a variable holds; nil for an empty one, for blanks and for the word `null`.
    static func present(_ value: String?) -> String? {
        guard let value else { return nil }
        let text = value.trimmingWhitespace()
        return text.isEmpty || text == "null" ? nil : value
    }
}

/// Which characters a secret may have that a request carries in a header.
enum HeaderText {
    /// What is wrong with a value, as the end of a sentence; nil for visible ASCII characters alone.
    static func flaw(of value: String) -> String? {
        guard let scalar = value.unicodeScalars.first(where: { !(0x21...0x7E).contains($0.value) }) else {
            return value.isEmpty ? "is empty" : nil
        }
        return switch scalar {
        case "\n", "\r": "contains a line feed"
        case " ", "\t": "contains a blank"
        case _ where scalar.value < 0x20 || scalar.value == 0x7F: "contains a control character"
        default: "contains a character that is not ASCII"
        }
    }
}
