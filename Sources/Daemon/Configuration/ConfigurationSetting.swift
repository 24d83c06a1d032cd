import ControlProtocol
import Failures
import Transport

/// One key of the configuration: its name, what it takes, how it is read. The tables of these are the one place where
/// keys are known: they drive reading, suggestions and the check of `docs/configuration.md`.
struct ConfigurationSetting<Values>: Sendable {
    let name: String
    /// What the key takes, to be read after "expected".
    let expected: String
    /// The default as it would stand in the file; nil where there is none.
    let standard: @Sendable (Values) -> String?
    /// Takes the value over. False where it is not what was expected.
    let read: @Sendable (TOMLNode, inout Values) -> Bool
    /// The values that are allowed where they are few, so that a mistyped one can be corrected.
    var choices: [String] = []
    /// What each element of an array must be, so that the wrong one can be pointed at.
    var element: (expected: String, isValid: @Sendable (TOMLNode) -> Bool)?
    /// For the manual, where the table of settings has it.
    var meaning: String?
}

extension ConfigurationSetting {
    typealias Path<Value> = WritableKeyPath<Values, Value> & Sendable

    /// A length of time, as a text such as "10s" or a whole number of seconds.
    static func duration(_ name: String, _ path: Path<Duration>, _ range: ClosedRange<Duration>) -> Self {
        Self(
            name: name,
            expected: "a length of time from \(DurationText.format(range.lowerBound)) to "
                + "\(DurationText.format(range.upperBound)), such as \"10s\"",
            standard: { "\"\(DurationText.format($0[keyPath: path]))\"" },
            read: { node, values in
                guard let value = node.duration, range.contains(value) else { return false }
                values[keyPath: path] = value
                return true
            })
    }

    /// A setting of a tunnel, as the table has it. The first table of the configuration that has the setting shows its default.
    static func tunnel(_ setting: TunnelSetting, _ path: Path<TunnelOptions>, in place: TunnelSetting.Places) -> Self {
        let isFirst = place == .defaults || place == .forwards && !setting.places.contains(.defaults)
        let meaning =
            isFirst || !setting.places.contains(.defaults)
            ? setting.meaning
            : "As in `[defaults]`" + (place == .forwards ? ", for this forward" : "")
                + (setting.zero == nil ? "." : "; 0 also where the default is another.")
        let standard = isFirst ? setting.standard.map { "\"\(TunnelSetting.written($0))\"" } : nil
        return Self(
            name: setting.key, expected: setting.expected, standard: { _ in standard },
            read: { node, values in
                let text = setting.isLength ? node.text ?? node.number.map { String($0) } : node.text
                return text.map { setting.read($0, into: &values[keyPath: path]) } ?? false
            },
            choices: setting.choices, meaning: meaning)
    }

    static func integer(_ name: String, _ path: Path<Int>, _ range: ClosedRange<Int>) -> Self {
        Self(
            name: name, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
            standard: { String($0[keyPath: path]) },
            read: { node, values in
                guard let number = node.number, let value = Int(exactly: number), range.contains(value) else {
                    return false
                }
                values[keyPath: path] = value
                return true
            })
    }

    static func boolean(_ name: String, _ path: Path<Bool>) -> Self {
        Self(
            name: name, expected: "true or false", standard: { String($0[keyPath: path]) },
            read: { node, values in
                guard let flag = node.flag else { return false }
                values[keyPath: path] = flag
                return true
            })
    }

    static func text(
        _ name: String, _ path: Path<String?>, _ expected: String, where isValid: @escaping @Sendable (String) -> Bool
    ) -> Self {
        Self(
            name: name, expected: expected, standard: { $0[keyPath: path].map { String(reflecting: $0) } },
            read: { node, values in
                guard let text = node.text, isValid(text) else { return false }
                values[keyPath: path] = text
                return true
            })
    }
}

extension TOMLNode {
    /// A length of time: a text that ``DurationText`` reads, or a number of seconds.
    var duration: Duration? {
        if let text { return DurationText.parse(text) }
        // Far above every range, and small enough for any sum.
        guard let number, (0...Int64(Int32.max)).contains(number) else { return nil }
        return .seconds(number)
    }
}

extension [TOMLNode.Entry] {
    /// Reads the settings of one table into `values`. What is unknown or wrong is added to `problems`, and the value
    /// keeps what it was.
    func read<Values>(
        _ settings: [ConfigurationSetting<Values>], table: String, into values: inout Values,
        problems: inout ConfigurationProblems
    ) {
        for entry in self {
            let key = ConfigurationPlace.path(table, entry.key)
            guard let setting = settings.first(where: { $0.name == entry.key }) else {
                let nearest = NearestName.of(entry.key, among: settings.map(\.name))
                problems.add(
                    ConfigurationPlace(entry, key: key),
                    nearest.map { "there is no such key; did you mean \($0)?" }
                        ?? "there is no such key; expected one of \(settings.map(\.name).joined(separator: ", "))")
                continue
            }
            guard !setting.read(entry.value, &values) else { continue }
            if let element = setting.element,
                let wrong = entry.value.elements?.first(where: { !element.isValid($0) })
            {
                problems.add(
                    ConfigurationPlace(wrong, key: key), "expected \(element.expected), found \(wrong.found)")
                continue
            }
            let nearest = entry.value.text.flatMap { NearestName.of($0, among: setting.choices) }
            problems.add(
                ConfigurationPlace(entry.value, key: key),
                "expected \(setting.expected), found \(entry.value.found)"
                    + (nearest.map { "; did you mean \"\($0)\"?" } ?? ""))
        }
    }
}
