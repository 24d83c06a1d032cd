import Failures

/// A request as it goes over the wire (JSON-RPC 2.0, section 4).
public struct RequestEnvelope<Parameters: Codable & Sendable>: Codable, Sendable {
    public var jsonrpc = "2.0"
    public var id: RequestID
    public var method: String
    public var params: Parameters

    public init<Method: ControlMethod>(_: Method.Type, id: RequestID, _ params: Parameters)
    where Method.Parameters == Parameters {
        self.id = id
        method = Method.name
        self.params = params
    }
}

/// A reply that carries a result (section 5).
public struct ResultEnvelope<Value: Codable & Sendable>: Codable, Sendable {
    public var jsonrpc = "2.0"
    public var id: RequestID
    public var result: Value

    public init(id: RequestID, result: Value) {
        self.id = id
        self.result = result
    }
}

/// A reply that carries an error (section 5).
public struct ErrorEnvelope: Codable, Hashable, Sendable {
    public var jsonrpc = "2.0"
    public var id: RequestID
    public var error: ErrorObject

    public init(id: RequestID, error: ErrorObject) {
        self.id = id
        self.error = error
    }
}

/// An event on its way to a subscriber: a notification, which has no `id` and wants no reply.
public struct EventEnvelope: Codable, Hashable, Sendable {
    public static let method = "event"

    public var jsonrpc = "2.0"
    public var method = EventEnvelope.method
    public var params: ControlEvent

    public init(_ event: ControlEvent) { params = event }
}

/// A notice on its way to somebody who waits for a tunnel: a notification, like an event.
public struct NoticeEnvelope: Codable, Hashable, Sendable {
    public static let method = "connect.notice"

    public var jsonrpc = "2.0"
    public var method = NoticeEnvelope.method
    public var params: ConnectNotice

    public init(_ notice: ConnectNotice) { params = notice }
}

/// What any line from the daemon begins to be understood by.
public struct ReplyHead: Codable, Hashable, Sendable {
    public var id: RequestID?
    public var method: String?
    public var error: ErrorObject?
}
