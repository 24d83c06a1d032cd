/// The keys as `docs/configuration.md` lists them: a test compares the two, so that neither can change alone.
enum ConfigurationReference {
    struct Table: Sendable {
        var heading: String
        /// `| key | what it takes | default`: the beginning of each key's row.
        var rows: [String]
    }

    static var tables: [Table] {
        [
            table("[defaults]", ConfigurationKeys.defaults, Configuration.Defaults()),
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
            rows: settings.map { setting in
                let value = setting.standard(standard).map { "`\($0)`" } ?? "–"
                return "| `\(setting.name)` | \(setting.expected) | \(value) |"
            })
    }
}
