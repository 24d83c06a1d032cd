import Basics
import Failures

extension EnvironmentOverlay {
    /// The environment of this request.
    public func applied(to own: Environment) -> Environment {
        var environment = own
        for name in unset + withheld { environment.values[name] = nil }
        environment.values.merge(values) { $1 }
        environment.withheld = Set(withheld)
        environment.visible = Set(files)
        return environment
    }
}

extension Environment {
    /// - Throws: `.foreignCredentials` when the shell has one of these variables and its value cannot be used here.
    func checkWithheld(_ names: [String]) throws(Failure) {
        guard let name = names.first(where: withheld.contains) else { return }
        throw Failure(
            .foreignCredentials, "\(name) of your shell is not the daemon's",
            why: "the credentials that it leads to are not sent to eiced",
            hint: "name a profile with --profile, or run: unset \(name)")
    }
}
