import ControlProtocol
import Descriptors
import Failures
import Glibc

/// What this shell says about AWS, as it is sent to the daemon. No secret is read.
public struct ShellVariables {
    /// The value of a variable; nil if it is not set.
    let variable: (String) -> String?
    /// What relative paths are relative to; the daemon's own folder is another. Nil if it cannot be found.
    let folder: () -> String?

    public init(variable: @escaping (String) -> String?, folder: @escaping () -> String?) {
        self.variable = variable
        self.folder = folder
    }

    /// Those of this process.
    public static var ofProcess: ShellVariables {
        ShellVariables(variable: environmentVariable, folder: { currentFolder() })
    }

    /// What is sent to the daemon: the options, and what the shell says.
    ///
    /// - Throws: `.usage` for options that do not go together, and as ``caller()`` does.
    public func completing(_ options: TunnelOptions) throws(Failure) -> TunnelOptions {
        for setting in TunnelSetting.all where setting.isSet(in: options) && setting.owner != setting.name {
            guard let owner = TunnelSetting.all.first(where: { $0.name == setting.owner }), !owner.isSet(in: options)
            else { continue }
            throw Failure(
                .usage, "--\(setting.option) without --\(owner.option)", why: "expected \(owner.expected) beside it")
        }
        var options = options
        var caller = try caller()
        // A named profile turns the keys of the environment off (botocore's `create_credential_resolver`).
        if options.profile != nil { caller.accessKeyID = nil }
        options.environment = caller.isEmpty ? nil : caller
        return options
    }

    /// - Throws: `.usage` when a variable's path is relative to a folder that cannot be found.
    public func caller() throws(Failure) -> CallerEnvironment {
        var variables: [String: String] = [:]
        var files: [String] = []
        for variable in AWSVariable.all where variable.isSent && !CallerEnvironment.hasField(variable) {
            guard let value = self[variable.name] else { continue }
            variables[variable.name] = variable.isPath ? try absolute(value, of: variable.name) : value
            if variable.group == .files, let path = variables[variable.name], access(path, F_OK) == 0 {
                files.append(variable.name)
            }
        }
        return CallerEnvironment(
            profile: self["AWS_PROFILE"] ?? self["AWS_DEFAULT_PROFILE"], region: self["AWS_REGION"],
            defaultRegion: self["AWS_DEFAULT_REGION"], accessKeyID: self["AWS_ACCESS_KEY_ID"],
            variables: variables.isEmpty ? nil : variables, files: files.isEmpty ? nil : files)
    }

    /// An empty variable counts as not set, as AWS's SDKs have it.
    private subscript(name: String) -> String? { variable(name).flatMap { $0.isEmpty ? nil : $0 } }

    /// As the AWS CLI finds the file in this shell.
    private func absolute(_ path: String, of name: String) throws(Failure) -> String {
        let path = PathText.expand(path, home: self["HOME"], variable: variable)
        if path.utf8.first == UInt8(ascii: "/") { return path }
        guard let folder = folder() else {
            throw Failure(
                .usage, "cannot find the file of \(name)", why: "\"\(path)\" is relative, and this folder has no path",
                hint: "cd to another folder, or set \(name) to an absolute path")
        }
        return "\(folder)/\(path)"
    }
}
