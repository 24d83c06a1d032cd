import Failures

/// What a look-up or a dial waits for.
public struct AwaitedPart: Hashable, Sendable {
    /// "the source of the credentials".
    public let name: String
    /// Whether it is a program on this machine: its silence is a fault to correct, while a network's may pass.
    public let isHelper: Bool

    public init(name: String, isHelper: Bool) {
        self.name = name
        self.isHelper = isHelper
    }
}

extension Failure {
    /// A look-up took longer than it may.
    ///
    /// - Parameter subject: "web-1:22".
    public static func lookUpTookTooLong(_ subject: String, _ timeout: Duration, awaited: AwaitedPart?) -> Failure {
        let who = awaited.map { " from \($0.name)" } ?? ""
        return Failure(
            awaited?.isHelper == true ? .helperFailed : .deadline, "resolving \(subject) took too long",
            why: "no answer\(who) within \(DurationText.format(timeout))")
    }
}
