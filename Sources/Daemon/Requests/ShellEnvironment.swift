import AWS
import Basics
import ControlProtocol

/// What the shell of a request means, beside the daemon's own environment: which profile, and which variables. Pure.
///
/// A request gets the identity that the AWS CLI has in that shell. What the shell does not say, the daemon's environment does;
/// but variables count by groups (``AWSVariable/Group``), so that one of the shell's never joins with one of the daemon's to a
/// third meaning. What equals the daemon's own is the daemon's, and changes with it.
struct ShellEnvironment {
    /// The profile that the shell names, where nothing comes before profiles (``overlay`` has it otherwise).
    private(set) var profile: String?
    /// Whether the shell says whose credentials to use.
    private(set) var namesIdentity = false
    /// Nil where the daemon's own environment counts as it is.
    var overlay: EnvironmentOverlay? {
        let overlay = EnvironmentOverlay(
            values: values, unset: unset.subtracting(values.keys).subtracting(withheld), withheld: withheld,
            files: files.filter { values[$0] != nil })
        return overlay.isEmpty ? nil : overlay
    }

    private let said: [String: String]
    private let own: Environment
    private let files: [String]
    private var values: [String: String] = [:]
    private var unset: Set<String> = []
    private var withheld: Set<String> = []

    /// - Parameters:
    ///   - named: the profile that the request names, which turns keys and web identity of the shell off.
    ///   - own: the daemon's environment.
    init(_ caller: CallerEnvironment, profile named: String?, own: Environment) {
        var said: [String: String] = [:]
        for variable in AWSVariable.all where variable.isSent && !CallerEnvironment.hasField(variable) {
            if let value = caller.variables?[variable.name], !value.isEmpty { said[variable.name] = value }
        }
        var usesProfile = named != nil
        if named == nil {
            // The AWS CLI asks these before it looks into the files.
            let comesFirst = caller.accessKeyID != nil || said["AWS_WEB_IDENTITY_TOKEN_FILE"] != nil
            said["AWS_ACCESS_KEY_ID"] = caller.accessKeyID
            if comesFirst { said["AWS_PROFILE"] = caller.profile } else { profile = caller.profile }
            usesProfile = profile != nil
        }
        self.said = said
        self.own = own
        files = caller.files ?? []
        namesIdentity =
            usesProfile
            || AWSVariable.all.contains { $0.decides && $0.group?.isIdentity == true && said[$0.name] != nil }
        replace(.files)
        replace(.endpoints)
        for variable in AWSVariable.all where variable.group == nil { replace(variable) }
        if usesProfile { replaceBesideProfile() } else { replaceIdentity() }
    }

    private static let identity = AWSVariable.Group.allCases.filter(\.isIdentity)

    // MARK: Identity

    /// A profile is named: what the AWS CLI asks when that profile has no credentials of its own.
    private mutating func replaceBesideProfile() {
        for group in [AWSVariable.Group.legacyFile, .container, .metadata] { replace(group) }
        // The shell's own files do not go with keys of the daemon (`credential_source` can name these).
        guard namesOtherFiles else { return }
        for group in [AWSVariable.Group.keys, .container] where values(of: group).isEmpty { drop(group) }
    }

    private mutating func replaceIdentity() {
        guard namesIdentity || namesOtherFiles else {
            // A role alone: it changes what the daemon's own way leads to.
            for variable in Self.members(of: .webIdentity) { replace(variable) }
            return
        }
        guard namesOtherFiles || Self.identity.contains(where: differs) else { return }
        for group in Self.identity {
            if values(of: group).isEmpty { drop(group) } else { replace(group) }
        }
    }

    // MARK: Groups

    private static func members(of group: AWSVariable.Group) -> [AWSVariable] {
        AWSVariable.all.filter { $0.group == group }
    }

    /// What the shell says of a group.
    private func values(of group: AWSVariable.Group) -> [String: String] {
        said.filter { name, _ in AWSVariable.named(name)?.group == group }
    }

    /// What the daemon's environment says, written as the shell's.
    private func own(_ variable: AWSVariable) -> String? {
        let value =
            variable.name == "AWS_PROFILE" ? own.first(of: "AWS_PROFILE", "AWS_DEFAULT_PROFILE") : own[variable.name]
        return variable.isPath ? value.map { own.expand(path: $0) } : value
    }

    /// A shell that names no files means the daemon's.
    private var namesOtherFiles: Bool { !values(of: .files).isEmpty && differs(.files) }

    private func differs(_ group: AWSVariable.Group) -> Bool {
        let members = Self.members(of: group)
        // The daemon cannot read such a file whether it is named there too or not.
        if members.contains(where: { $0.treatment == .unreadable && said[$0.name] != nil }) { return true }
        return members.contains { $0.isSent && $0.name != "AWS_DEFAULT_PROFILE" && said[$0.name] != own($0) }
    }

    /// The shell's values of a group instead of the daemon's, if it has any.
    private mutating func replace(_ group: AWSVariable.Group) {
        let values = values(of: group)
        guard !values.isEmpty, differs(group) else { return }
        drop(group)
        for variable in Self.members(of: group) {
            guard let value = values[variable.name] else { continue }
            if variable.treatment == .travels {
                self.values[variable.name] = value
            } else {
                withheld.insert(variable.name)
            }
        }
    }

    private mutating func replace(_ variable: AWSVariable) {
        guard let value = said[variable.name], value != own(variable) else { return }
        values[variable.name] = value
    }

    private mutating func drop(_ group: AWSVariable.Group) {
        unset.formUnion(Self.members(of: group).map(\.name))
    }
}
