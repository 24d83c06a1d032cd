import Failures

/// The profiles of AWS's two shared files, merged as the AWS CLI merges them: what the credentials file says about a
/// profile wins over the config file, key by key.
public struct SharedConfig: Sendable, Hashable {
    /// One setting, with the place it stands at.
    public struct Setting: Sendable, Hashable {
        public let value: ProfileFile.Value
        public let file: String
        public let line: Int

        public var text: String? { if case .text(let text) = value { text } else { nil } }
        public var nested: [String: String]? { if case .nested(let nested) = value { nested } else { nil } }
        /// `/home/ann/.aws/config:12`.
        public var place: String { "\(file):\(line)" }
    }

    /// A named group of settings: a profile, an `sso-session` or a `services` section.
    public struct Section: Sendable, Hashable {
        public let name: String
        public fileprivate(set) var settings: [String: Setting] = [:]
        /// A mistake in the file that makes this section unusable.
        public fileprivate(set) var problem: Failure?

        /// The text of a setting; nil where it is absent, empty or an indented block.
        public subscript(_ key: String) -> String? {
            guard let text = settings[key]?.text, !text.isEmpty else { return nil }
            return text
        }

        /// The section, where no mistake stands in it.
        /// - Throws: `.malformedFile` with file and line.
        public func usable() throws(Failure) -> Section {
            if let problem { throw problem }
            return self
        }

        /// Where a setting stands, for messages.
        public func place(of key: String) -> String { settings[key]?.place ?? "profile \(name)" }
    }

    public private(set) var profiles: [String: Section] = [:]
    public private(set) var ssoSessions: [String: Section] = [:]
    public private(set) var services: [String: Section] = [:]
    /// The path of the config file, read or not there.
    public let configPath: String
    /// The path of the credentials file, read or not there.
    public let credentialsPath: String

    /// `config` and `credentials` are the parsed files; nil for one that does not exist.
    public init(config: ProfileFile?, configPath: String, credentials: ProfileFile?, credentialsPath: String) {
        self.configPath = configPath
        self.credentialsPath = credentialsPath
        for name in config?.order ?? [] {
            guard let section = config?.sections[name] else { continue }
            if name == "default" {
                Self.replace(section, of: configPath, in: &profiles, as: name)
                continue
            }
            // The AWS CLI tests prefixes, not words: `[profile-x y]` is profile y as well.
            guard let words = ShellWords.split(name), words.count == 2 else { continue }
            if name.hasPrefix("profile") {
                Self.replace(section, of: configPath, in: &profiles, as: words[1])
            } else if name.hasPrefix("sso-session") {
                Self.replace(section, of: configPath, in: &ssoSessions, as: words[1])
            } else if name.hasPrefix("services") {
                Self.replace(section, of: configPath, in: &services, as: words[1])
            }
        }
        for name in credentials?.order ?? [] {
            if let section = credentials?.sections[name] {
                Self.merge(section, of: credentialsPath, into: &profiles, as: name)
            }
        }
    }

    /// The profile of that name. Naming one that neither file has is an error; `default` may be absent.
    public func profile(_ name: String) throws(Failure) -> Section {
        if let profile = profiles[name] { return try profile.usable() }
        if name == "default" { return Section(name: name) }
        let known = profiles.keys.sorted()
        throw Failure(
            .unknownProfile, "profile \(name) is unknown",
            // A header with a typing error is read as a setting, and the profile below it is none.
            why: ListText.brief(
                ["neither \(configPath) nor \(credentialsPath) has it"] + problems.map(\.sentence), separator: "; ",
                longest: 400),
            hint: known.isEmpty ? "aws configure --profile \(name)" : "profiles there: \(ListText.brief(known))"
        )
    }

    /// The mistakes in all sections.
    private var problems: [Failure] {
        [profiles, ssoSessions, services].flatMap { $0.values.compactMap(\.problem) }.sorted { $0.what < $1.what }
    }

    // Static, because a method that changes a property of its own value in place works on a copy of it: each section would copy all
    // profiles.

    private static func replace(
        _ section: ProfileFile.Section, of file: String, in sections: inout [String: Section], as name: String
    ) {
        let problem = sections[name]?.problem
        sections[name] = nil
        merge(section, of: file, into: &sections, as: name)
        if let problem { sections[name]?.problem = problem }
    }

    private static func merge(
        _ section: ProfileFile.Section, of file: String, into sections: inout [String: Section], as name: String
    ) {
        var merged = sections.removeValue(forKey: name) ?? Section(name: name)
        for (key, entry) in section.entries {
            merged.settings[key] = Setting(value: entry.value, file: file, line: entry.line)
        }
        if let problem = section.problem, merged.problem == nil { merged.problem = problem.failure(in: file) }
        sections[name] = merged
    }
}

extension ProfileFile.Malformation {
    /// As people read it.
    func failure(in file: String) -> Failure {
        Failure(.malformedFile, "\(file):\(line)", why: reason, hint: "correct line \(line) of \(file)")
    }
}
