import ControlProtocol

/// The keys as the manual has them: tests compare `docs/configuration.md`, `docs/config.example.toml` and the man page with
/// them, so that none can change alone.
enum ConfigurationReference {
    struct Table: Sendable {
        var heading: String
        var keys: [Key]

        /// `| key | what it takes | default |`: the beginning of each key's row, or all of it where the meaning is known.
        var rows: [String] {
            keys.map { key in
                "| `\(key.name)` | \(key.expected) | \(key.standard.map { "`\($0)`" } ?? "–") |"
                    + (key.meaning.map { " \($0) |" } ?? "")
            }
        }
    }

    struct Key: Sendable {
        var name: String
        var expected: String
        /// The default as it would stand in the file; nil where there is none.
        var standard: String?
        var meaning: String?
    }

    static var tables: [Table] {
        [
            table("[defaults]", ConfigurationKeys.defaults, Configuration.Defaults()),
            table("[profiles.NAME]", ConfigurationKeys.profile, TunnelOptions()),
            table("[forwards.NAME]", ConfigurationKeys.forward, ForwardDraft()),
            table("[endpoints.\"eice-…\"]", ConfigurationKeys.endpoint, Configuration.Endpoint()),
            table("[timeouts]", ConfigurationKeys.timeouts, Configuration.Timeouts()),
            table("[pool]", ConfigurationKeys.pool, Configuration.Pool()),
            table("[log]", ConfigurationKeys.log, Configuration.Log()),
        ]
    }

    private static func table<Values>(
        _ heading: String, _ settings: [ConfigurationSetting<Values>], _ standard: Values
    ) -> Table {
        Table(
            heading: heading,
            keys: settings.map {
                Key(name: $0.name, expected: $0.expected, standard: $0.standard(standard), meaning: $0.meaning)
            })
    }
}
