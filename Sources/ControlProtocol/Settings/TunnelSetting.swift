import Failures

/// One setting of a tunnel: what it takes, where it can be given, and its documentation.
public struct TunnelSetting: Sendable {
    /// A setting's value, without its type.
    public enum Value: Hashable, Sendable {
        case text(String)
        /// A length of time in whole seconds.
        case seconds(Int)
    }

    /// Where a setting can be given.
    public struct Places: OptionSet, Sendable {
        public let rawValue: Int
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// `add`, `set` and `proxy`, the `options` of the control protocol, and the saved forwards.
        public static let requests = Places(rawValue: 1)
        /// `[defaults]` of the configuration.
        public static let defaults = Places(rawValue: 2)
        /// `[profiles.NAME]` of the configuration.
        public static let profiles = Places(rawValue: 4)
        /// `[forwards.NAME]` of the configuration.
        public static let forwards = Places(rawValue: 8)
        /// `set --unset` and the `unset` of `forward.set`.
        public static let unset = Places(rawValue: 16)
    }

    /// What a shell offers for the value.
    public enum Suggestions: Sendable { case profiles, regions, endpoints, choices }

    /// In messages of the control protocol and in the saved forwards: `maxDuration`.
    public let name: String
    /// On the command line, without its two dashes: `max-duration`.
    public let option: String
    /// The setting that this one belongs to, or its own name. Settings of one owner are copied and reset together.
    public let owner: String
    public let places: Places
    /// What a value must be, to be read after "expected".
    public let expected: String
    /// The default; nil where there is none.
    public let standard: Value?
    public let choices: [String]
    public let suggestions: Suggestions?
    public let valueName: String
    /// For `--help`.
    public let help: String
    /// For `docs/configuration.md`.
    public let meaning: String
    /// What 0 means, such as "none"; nil where 0 is not allowed.
    public let zero: String?
    /// Seconds, of a length of time; 0 apart.
    public let range: ClosedRange<Int>?
    /// The first version of the file of saved forwards that has the setting: an older daemon would lose it.
    public let since: Int

    private let hint: String?
    private let isAllowed: @Sendable (Value) -> Bool
    private let get: @Sendable (TunnelOptions) -> Value?
    /// False for a value that the property cannot hold.
    private let put: @Sendable (Value?, inout TunnelOptions) -> Bool

    /// Whether it is a length of time.
    public var isLength: Bool { range != nil }

    /// In the configuration: `max_duration`.
    public var key: String { String(option.map { $0 == "-" ? "_" : $0 }) }

    public subscript(_ options: TunnelOptions) -> Value? { self.get(options) }

    public func isSet(in options: TunnelOptions) -> Bool { get(options) != nil }

    func set(_ value: Value?, in options: inout TunnelOptions) -> Bool { put(value, &options) }

    /// Takes the setting over as it is in `other`, unset too.
    public func copy(from other: TunnelOptions, to options: inout TunnelOptions) { _ = put(get(other), &options) }

    // MARK: Values

    /// What a person wrote: on the command line or in the configuration. Nil where it is not what is expected.
    private func value(_ text: String) -> Value? {
        let value: Value
        if isLength {
            guard let length = DurationText.parse(text), length.components.attoseconds == 0,
                let seconds = Int(exactly: length.components.seconds)
            else { return nil }
            value = .seconds(seconds)
        } else {
            value = .text(text)
        }
        return isAllowed(value) ? value : nil
    }

    /// - Returns: false, and `options` as they were, where the text is not what is expected.
    public func read(_ text: String, into options: inout TunnelOptions) -> Bool {
        value(text).map { put($0, &options) } ?? false
    }

    /// The same for the command line.
    public func parse(_ text: String, into options: inout TunnelOptions) throws(Failure) {
        guard read(text, into: &options) else { throw refusal(text, as: .usage) }
    }

    /// Why the value is not allowed; nil where it is, or is nil.
    public func problem(of options: TunnelOptions, as kind: Failure.Kind) -> Failure? {
        guard let value = get(options), !isAllowed(value) else { return nil }
        return refusal(Self.written(value), as: kind)
    }

    private func refusal(_ text: String, as kind: Failure.Kind) -> Failure {
        Failure(
            kind, "invalid \(option) \"\(ForeignText.excerpt(text, limit: 60))\"", why: "expected \(expected)",
            hint: hint)
    }

    /// As a person writes it.
    public static func written(_ value: Value) -> String {
        switch value {
        case .text(let text): text
        case .seconds(let seconds): DurationText.format(.seconds(seconds))
        }
    }
}

// MARK: The kinds of settings

extension TunnelSetting {
    typealias Path<Value> = WritableKeyPath<TunnelOptions, Value> & Sendable

    /// Checked for its shape alone: AWS says whether there is such a thing.
    static func text(
        _ name: String, _ path: Path<String?>, option: String? = nil, of owner: String? = nil, valueName: String,
        in places: Places, expected: String, where isValid: @escaping @Sendable (String) -> Bool,
        suggests suggestions: Suggestions? = nil, hint: String? = nil, since: Int = 1, help: String,
        meaning: String
    ) -> Self {
        Self(
            name: name, option: option ?? optionName(name), owner: owner ?? name, places: places, expected: expected,
            standard: nil, choices: [], suggestions: suggestions, valueName: valueName, help: help, meaning: meaning,
            zero: nil, range: nil, since: since,
            hint: hint,
            isAllowed: { if case .text(let text) = $0 { isValid(text) } else { false } },
            get: { $0[keyPath: path].map(Value.text) },
            put: { value, options in
                switch value {
                case .text(let text): options[keyPath: path] = text
                case nil: options[keyPath: path] = nil
                case .seconds: return false
                }
                return true
            })
    }

    /// A length of time in whole seconds, in which control messages and the service count.
    ///
    /// - Parameter zero: what 0 stands for, where it is allowed.
    static func seconds(
        _ name: String, _ path: Path<Int?>, _ range: ClosedRange<Int>, standard: Int? = nil, zero: String? = nil,
        in places: Places, since: Int = 1, help: String, meaning: String
    ) -> Self {
        let (shortest, longest) = (
            DurationText.format(.seconds(range.lowerBound)), DurationText.format(.seconds(range.upperBound))
        )
        return Self(
            name: name, option: optionName(name), owner: name, places: places,
            expected: "a length of time from \(shortest) to \(longest) in whole seconds, such as \"10m\""
                + (zero.map { ", or 0 for \($0)" } ?? ""),
            standard: standard.map(Value.seconds), choices: [], suggestions: nil, valueName: "time",
            help: "\(help): \(shortest) to \(longest)\(zero.map { ", or 0 for \($0)" } ?? "").", meaning: meaning,
            zero: zero, range: range, since: since, hint: nil,
            isAllowed: {
                if case .seconds(let seconds) = $0 {
                    range.contains(seconds) || zero != nil && seconds == 0
                } else {
                    false
                }
            },
            get: { $0[keyPath: path].map(Value.seconds) },
            put: { value, options in
                switch value {
                case .seconds(let seconds): options[keyPath: path] = seconds
                case nil: options[keyPath: path] = nil
                case .text: return false
                }
                return true
            })
    }

    /// One of a few words.
    static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
        _ name: String, _ path: Path<Choice?>, standard: Choice? = nil, in places: Places, since: Int = 1, help: String,
        meaning: String
    ) -> Self {
        let choices = Choice.allCases.map(\.rawValue)
        return Self(
            name: name, option: optionName(name), owner: name, places: places,
            expected: choices.map { "\"\($0)\"" }.joined(separator: " or "),
            standard: standard.map { .text($0.rawValue) }, choices: choices, suggestions: .choices,
            valueName: choices.joined(separator: "|"), help: help, meaning: meaning, zero: nil, range: nil,
            since: since,
            hint: nil,
            isAllowed: { if case .text(let text) = $0 { Choice(rawValue: text) != nil } else { false } },
            get: { $0[keyPath: path].map { .text($0.rawValue) } },
            put: { value, options in
                switch value {
                case .text(let text):
                    guard let choice = Choice(rawValue: text) else { return false }
                    options[keyPath: path] = choice
                case nil: options[keyPath: path] = nil
                case .seconds: return false
                }
                return true
            })
    }

    /// `maxDuration` as an option: `max-duration`.
    private static func optionName(_ name: String) -> String {
        var bytes: [UInt8] = []
        for byte in name.utf8 {
            let isCapital = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            bytes += isCapital ? [UInt8(ascii: "-"), byte | 0x20] : [byte]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
