/// What a person is told when something did not work: what failed, why, and what to do next.
///
/// Every part of eiced reports with this one type, so that a sentence written where the cause is known reaches
/// the log, `eicectl status` and the client's stderr unchanged. No secret may stand in any field.
public struct Failure: Error, Hashable, Codable, Sendable {
    /// The class of the failure: stable, what scripts match and what the exit code follows from.
    public var kind: Kind
    /// What failed and on which thing: "cannot listen on 127.0.0.1:2222".
    public var what: String
    /// Why: "address already in use". Empty where `what` says it all.
    public var why: String
    /// What to do next: "systemctl --user start eiced". Nil where there is nothing useful to say.
    public var hint: String?

    public init(_ kind: Kind, _ what: String, why: String = "", hint: String? = nil) {
        self.kind = kind
        self.what = what
        self.why = why
        self.hint = hint
    }

    /// The one sentence, without the hint.
    public var sentence: String { why.isEmpty ? what : "\(what): \(why)" }
}

extension Failure: CustomStringConvertible {
    public var description: String { hint.map { "\(sentence) (\($0))" } ?? sentence }
}

extension Failure {
    /// A kind of failure: a stable word. An open set, since a newer daemon may know kinds that an older client does not.
    public struct Kind: RawRepresentable, Hashable, Codable, Sendable {
        public let rawValue: String

        public init(rawValue: String) { self.rawValue = rawValue }
    }
}
