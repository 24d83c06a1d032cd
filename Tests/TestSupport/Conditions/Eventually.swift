/// Waits until `condition` holds, and throws when it does not within `limit`.
///
/// With ``letPass(_:)`` the one place in the tests that lets time pass. A test states what must come true; how long that may take is a
/// limit against a hang, generous since machines differ, and never the thing under test.
public func eventually(
    _ what: String,
    within limit: Duration = .seconds(30),
    _ condition: () async throws -> Bool
) async throws {
    let limit = limit * Patience.factor
    let deadline = ContinuousClock.now + limit
    while true {
        if try await condition() { return }
        guard ContinuousClock.now < deadline else { throw TestFailure("not within \(limit): \(what)") }
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// The same for a value that appears.
public func eventually<Value>(
    _ what: String,
    within limit: Duration = .seconds(30),
    value: () async throws -> Value?
) async throws -> Value {
    var found: Value?
    try await eventually(what, within: limit) {
        found = try await value()
        return found != nil
    }
    guard let found else { throw TestFailure("not within \(limit): \(what)") }
    return found
}

/// Lets a length of time pass, for a test of what must *not* happen in it, such as using the processor.
public func letPass(_ length: Duration) async throws { try await Task.sleep(for: length) }
