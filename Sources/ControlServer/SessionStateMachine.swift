import ControlCodec
import ControlProtocol
import Failures

/// Decides what a control session does: parsed lines in, actions out. Knows no sockets and no clock.
struct SessionStateMachine {
    enum Action: Equatable {
        case none
        /// Answers, and closes when that is written.
        case greet(RequestID)
        case refuse(RequestID, ErrorObject, thenClose: Bool)
        case handle(RequestID, ControlRequest)
        case subscribe(RequestID, Set<ControlEvent.Kind>?)
        case connect(RequestID, ConnectParameters)
    }

    private enum State: Equatable {
        case awaitingHello
        case open
        /// After `connect`: nothing that comes is JSON.
        case connecting(RequestID, handoff: Bool)
        /// Nothing more is read or begun; closes when all is written.
        case ending
    }

    /// Requests of one session that may be unanswered at a time.
    static let maximumOutstanding = 16

    private var state = State.awaitingHello
    private(set) var outstanding = 0
    private(set) var isSubscribed = false
    private var inputEnded = false

    /// Whether the next line may be taken from the client.
    var takesLines: Bool {
        switch state {
        case .awaitingHello, .open: outstanding < Self.maximumOutstanding
        case .connecting, .ending: false
        }
    }

    var awaitsHello: Bool { state == .awaitingHello }

    /// The request that waits for a tunnel.
    var connectID: RequestID? {
        if case .connecting(let id, _) = state { id } else { nil }
    }

    /// Whether the session has nothing more to do once its output is written.
    var isOver: Bool {
        switch state {
        case .ending: true
        case .connecting: false
        case .awaitingHello: inputEnded
        case .open: inputEnded && outstanding == 0 && !isSubscribed
        }
    }

    /// - Parameter isFollowed: whether bytes that follow the line are here already.
    mutating func received(
        _ parsed: Result<(RequestID, ControlRequest), ControlRequest.Refusal>, isFollowed: Bool
    ) -> Action {
        let id: RequestID
        let request: ControlRequest
        switch parsed {
        case .failure(let refusal): return .refuse(refusal.id, refusal.error, thenClose: false)
        case .success(let both): (id, request) = both
        }
        if case .awaitingHello = state {
            guard case .hello(let parameters) = request else {
                return refuse(id, "the first request must be hello")
            }
            return hello(id, parameters)
        }
        switch request {
        case .hello: return refuse(id, "hello was said already")
        case .connect(let parameters): return connect(id, parameters, isFollowed: isFollowed)
        case .eventsSubscribe(let parameters):
            isSubscribed = true
            return .subscribe(id, parameters.events.map(Set.init))
        default:
            outstanding += 1
            return .handle(id, request)
        }
    }

    mutating func receivedLongLine() -> Action {
        let why = "it has more than \(ControlWire.maximumLineLength) bytes"
        return .refuse(
            .null, ErrorObject(Failure(.lineTooLong, "cannot read the request", why: why)), thenClose: false)
    }

    /// A handled request was answered.
    mutating func answered() { outstanding -= 1 }

    /// The tunnel could not be opened. What may follow `connect` was meant for the stream, and must not be taken for
    /// requests.
    ///
    /// - Returns: the request to refuse, and whether the session ends with that; nil when none waited.
    mutating func connectFailed(isFollowed: Bool) -> (RequestID, thenClose: Bool)? {
        guard case .connecting(let id, _) = state else { return nil }
        state = isFollowed ? .ending : .open
        return (id, thenClose: isFollowed)
    }

    /// The tunnel is open: the session ends, with a result that is the last line.
    mutating func connected() -> RequestID? {
        guard case .connecting(let id, _) = state else { return nil }
        state = .ending
        return id
    }

    /// The client will send nothing more. Whether it still reads is another matter.
    mutating func receivedEndOfFile() { inputEnded = true }

    private mutating func hello(_ id: RequestID, _ parameters: HelloParameters) -> Action {
        let ours = EICEDVersion.controlProtocol
        guard parameters.protocol.major == ours.major else {
            state = .ending
            let failure = Failure(
                .protocolMismatch, "cannot talk to this client",
                why:
                    "it speaks version \(parameters.protocol.major) of the control protocol, and this eiced version \(ours.major)",
                hint: "install eicectl and eiced of one release, then restart eiced")
            return .refuse(id, ErrorObject(failure), thenClose: true)
        }
        state = .open
        return .greet(id)
    }

    private mutating func connect(_ id: RequestID, _ parameters: ConnectParameters, isFollowed: Bool) -> Action {
        let why: String
        if outstanding > 0 {
            why = "other requests are not answered yet, and connect must be the last"
        } else if isSubscribed {
            why = "the session has subscribed to events, and connect must have one for itself"
        } else if parameters.handoff && isFollowed {
            why = "bytes follow it, and with handoff the stream is another descriptor"
        } else {
            state = .connecting(id, handoff: parameters.handoff)
            return .connect(id, parameters)
        }
        if isFollowed { state = .ending }
        return refuse(id, why, thenClose: isFollowed)
    }

    private func refuse(_ id: RequestID, _ why: String, thenClose: Bool = false) -> Action {
        let failure = Failure(.invalidRequest, "cannot accept the request now", why: why)
        return .refuse(id, ErrorObject(failure, code: ErrorObject.invalidRequest), thenClose: thenClose)
    }
}
