import AWS
import Basics
import Failures

/// The instances that a profile sees in a region, for whoever wants to choose one. Kept for a minute, since a shell asks at
/// each press of a key.
public struct TargetDirectory: Sendable {
    private struct Key: Hashable, Sendable {
        let profile: String?
        let environment: EnvironmentOverlay?
        let region: String
    }

    private let context: AWSContext
    private let instances: ExpiringCache<Key, [Instance]>

    public init(
        context: AWSContext, timeToLive: Duration = .seconds(60),
        now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        self.context = context
        instances = ExpiringCache(timeToLive: timeToLive, now: now)
    }

    /// The names of the profiles in AWS's files.
    /// - Throws: `.malformedFile`, `.configuration`, `.deadline`.
    public func profiles(under environment: EnvironmentOverlay?) async throws(Failure) -> [String] {
        try await context.under(environment).files.load().profiles.keys.sorted()
    }

    /// Those that run or are about to, by name.
    /// - Throws: `.noRegion`, and what credentials and EC2's calls throw.
    public func targets(
        profile: String?, region: String?, environment: EnvironmentOverlay?
    ) async throws(Failure) -> (region: String, instances: [Instance]) {
        let context = context.under(environment)
        let region = try await context.region(named: region, profile: profile)
        let ec2 = EC2(context: context, profile: profile, region: region)
        let found = try await instances.value(
            Key(profile: profile, environment: environment, region: region), what: "cannot list the instances"
        ) { () throws(Failure) in
            try await ec2.describeInstances(
                filters: [EC2.Filter("instance-state-name", "pending", "running")], purpose: "list the instances")
        }
        return (region, found.sorted { ($0.name ?? "~", $0.id) < ($1.name ?? "~", $1.id) })
    }
}
