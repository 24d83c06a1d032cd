import Failures
import Synchronization

/// Whose credentials are meant: a profile, or what the daemon's environment says.
public struct Identity: Sendable, Hashable {
    /// The profile that a request or a forward names; nil where it names none.
    public let profile: String?

    public init(profile: String?) { self.profile = profile }

    /// The profile that the shared files are asked for: the named one, else `AWS_PROFILE`, else `default`.
    public func profileName(in environment: Environment) -> String {
        profile ?? environment.first(of: "AWS_PROFILE", "AWS_DEFAULT_PROFILE") ?? "default"
    }
}

/// What a source may look at.
public struct SourceContext: Sendable {
    public let identity: Identity
    public let call: CallContext
    /// The profiles that a chain of `source_profile` has gone through, this one last.
    let visited: [String]
    let notes: SourceNotes

    public var environment: Environment { call.environment }
    public var config: SharedConfig { call.config }
    /// The settings of the identity's profile; empty where there is none.
    public var profile: SharedConfig.Section { call.profile }
    public var profileOption: String { call.profileOption }

    init(identity: Identity, call: CallContext, visited: [String]? = nil, notes: SourceNotes = SourceNotes()) {
        self.identity = identity
        self.call = call
        self.visited = visited ?? [call.profile.name]
        self.notes = notes
    }

    /// The same for the profile that a role is assumed with.
    func source(_ profile: SharedConfig.Section) -> SourceContext {
        let call = CallContext(
            environment: environment, config: config, profile: profile, http: call.http, clock: call.clock,
            logger: call.logger)
        return SourceContext(
            identity: Identity(profile: profile.name), call: call, visited: visited + [profile.name], notes: notes)
    }
}

/// What is known of a chain under way: which source it waits for, and why others did not apply.
final class SourceNotes: Sendable {
    private let notes = Mutex<[String]>([])
    private let asked = Mutex<AwaitedSource?>(nil)

    func add(_ note: String) { notes.withLock { $0.append(note) } }
    var all: [String] { notes.withLock { $0 } }

    /// The source that is asked from now on: the innermost one, where a role is assumed with another source's credentials.
    func ask(_ source: any CredentialSource) {
        asked.withLock { $0 = AwaitedSource(name: source.name, isLocal: source.isLocal) }
    }

    var awaited: AwaitedSource? { asked.withLock { $0 } }
}

/// A source that credentials are awaited from.
public struct AwaitedSource: Sendable, Hashable {
    /// As docs/credentials.md calls it.
    public let name: String
    /// Whether it is a program or a service of this machine, not one across a network.
    public let isLocal: Bool
}

/// One place that credentials can come from. Sources are asked in the order of the chain; the first that applies is the
/// answer, even when it fails: falling through to another account would be worse than an error.
public protocol CredentialSource: Sendable {
    /// As it is called in messages and in docs/credentials.md.
    var name: String { get }
    /// Whether it asks a program or a service of this machine: that one hangs is a fault here, and not the network's.
    var isLocal: Bool { get }
    /// Credentials, or nil where this source is not configured for the identity.
    func credentials(in context: SourceContext) async throws(Failure) -> Credentials?
}

extension CredentialSource {
    public var isLocal: Bool { false }
}
