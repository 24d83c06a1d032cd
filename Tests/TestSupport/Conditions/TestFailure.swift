/// Why a fixture could not do its part: what ends a test that has nothing to expect any more.
public struct TestFailure: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}
