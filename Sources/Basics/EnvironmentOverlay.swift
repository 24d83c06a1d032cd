/// What the shell of a request says about AWS, laid over the daemon's own environment. Holds no secret, so that it can last
/// with a forward.
public struct EnvironmentOverlay: Sendable, Hashable, Codable {
    /// Variables that count instead of the daemon's.
    public var values: [String: String]
    /// Variables of the daemon that do not count, in alphabetical order.
    public var unset: [String]
    /// Variables whose values stay in the shell and differ from the daemon's, in alphabetical order
    /// (what such a value leads to is not sent to the daemon).
    public var withheld: [String]
    /// Those of `values` whose files the shell sees, in alphabetical order. If the daemon does not see them, it must not go on
    /// without them, to another account.
    public var files: [String]

    public init(
        values: [String: String] = [:], unset: some Sequence<String> = [], withheld: some Sequence<String> = [],
        files: some Sequence<String> = []
    ) {
        self.values = values
        self.unset = unset.sorted()
        self.withheld = withheld.sorted()
        self.files = files.sorted()
    }

    /// Whether the daemon's own environment counts as it is.
    public var isEmpty: Bool { values.isEmpty && unset.isEmpty && withheld.isEmpty }
}
