/// A value that is confined to a loop and may be named from elsewhere: a task or another loop carries it and gives it
/// back to its own loop.
///
/// Unchecked, since the compiler cannot see it: the value comes out only where an isolated `Loop` is at hand, and that
/// must be the very loop it went in on.
public struct LoopBound<Value>: @unchecked Sendable {
    private let value: Value
    public let loop: Loop

    public init(_ value: Value, on loop: isolated Loop) {
        self.value = value
        self.loop = loop
    }

    public func get(on loop: isolated Loop) -> Value {
        precondition(loop === self.loop, "a value of another loop")
        return value
    }
}

/// A value on its way from one loop to another.
///
/// Unchecked: the giver drops its references when it makes this, before the taker's work can run, so that only one loop
/// ever holds the value.
public struct LoopTransfer<Value>: @unchecked Sendable {
    private let value: Value

    /// The caller uses the value no more after this.
    public init(_ value: Value) { self.value = value }

    /// To be called once, on the loop that takes the value.
    public func take() -> Value { value }
}
