import ArgumentParser
import ControlProtocol
import Failures

/// The options of a tunnel, for the argument parser: one for each row of the table of settings.
///
/// The argument parser finds a command's options by a mirror of it, and gives their values back by decoding. This type
/// does both by hand, because it has no property for each option.
struct TunnelFlags: ParsableArguments, CustomReflectable {
    private var flags: [String: Option<String?>] = [:]

    init() {
        for setting in TunnelSetting.all {
            flags[setting.name] = Option(
                name: .customLong(setting.option), help: ArgumentHelp(setting.help, valueName: setting.valueName),
                completion: setting.suggestions.map { $0.completion(setting.choices) })
        }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        for setting in TunnelSetting.all {
            flags[setting.name] = try container.decode(Option<String?>.self, forKey: Key(stringValue: setting.name))
        }
    }

    var customMirror: Mirror {
        Mirror(
            self,
            children: TunnelSetting.all.compactMap { row -> Mirror.Child? in flags[row.name].map { (row.name, $0) } })
    }

    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// - Throws: `.usage` for a value that is not expected.
    func options() throws(Failure) -> TunnelOptions {
        var options = TunnelOptions()
        for setting in TunnelSetting.all {
            if let text = flags[setting.name]?.wrappedValue { try setting.parse(text, into: &options) }
        }
        return options
    }
}

extension TunnelSetting.Suggestions {
    fileprivate func completion(_ choices: [String]) -> CompletionKind {
        switch self {
        case .profiles: .profiles
        case .regions: .regions
        case .endpoints: .endpoints
        case .choices: .list(choices)
        }
    }
}
