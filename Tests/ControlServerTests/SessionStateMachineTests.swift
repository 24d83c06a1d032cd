import ControlCodec
import ControlProtocol
import Failures
import Testing

@testable import ControlServer

@Suite struct SessionStateMachineTests {
    var machine = SessionStateMachine()

    typealias Parsed = Result<(RequestID, ControlRequest), ControlRequest.Refusal>

    func request(_ number: Int, _ request: ControlRequest) -> Parsed { .success((.number(number), request)) }
    let hello = ControlRequest.hello(HelloParameters())
    let connect = ControlRequest.connect(ConnectParameters(target: "i-1", remotePort: 22))

    /// The code of the refusal, or nil for any other action.
    func code(_ action: SessionStateMachine.Action) -> Int? {
        if case .refuse(_, let error, _) = action { error.code } else { nil }
    }

    @Test mutating func helloComesFirst() {
        #expect(code(machine.received(request(1, .status), isFollowed: false)) == ErrorObject.invalidRequest)
        #expect(code(machine.received(request(2, connect), isFollowed: false)) == ErrorObject.invalidRequest)
        #expect(machine.awaitsHello)
        #expect(machine.received(request(3, hello), isFollowed: false) == .greet(.number(3)))
        #expect(!machine.awaitsHello)
        #expect(code(machine.received(request(4, hello), isFollowed: false)) == ErrorObject.invalidRequest)
        #expect(machine.received(request(5, .status), isFollowed: false) == .handle(.number(5), .status))
    }

    @Test mutating func anotherMajorEndsTheSession() {
        let future = HelloParameters(protocol: ProtocolVersion(major: 2, minor: 0))
        let action = machine.received(request(1, .hello(future)), isFollowed: true)
        guard case .refuse(.number(1), let error, thenClose: true) = action else {
            Issue.record("\(action)")
            return
        }
        #expect(error.data.kind == .protocolMismatch)
        #expect(error.code == 76)
        #expect(!machine.takesLines && machine.isOver)
    }

    @Test mutating func anotherMinorIsWelcome() {
        let future = HelloParameters(protocol: ProtocolVersion(major: 1, minor: 99))
        #expect(machine.received(request(1, .hello(future)), isFollowed: false) == .greet(.number(1)))
    }

    @Test mutating func connectIsRefusedWhileAnotherRequestIsUnanswered() {
        _ = machine.received(request(1, hello), isFollowed: false)
        _ = machine.received(request(2, .status), isFollowed: false)
        #expect(code(machine.received(request(3, connect), isFollowed: false)) == ErrorObject.invalidRequest)
        #expect(machine.takesLines)
        machine.answered()
        let action = machine.received(request(4, connect), isFollowed: true)
        #expect(action == .connect(.number(4), ConnectParameters(target: "i-1", remotePort: 22)))
        #expect(!machine.takesLines)
        #expect(machine.connectID == .number(4))
    }

    @Test mutating func connectIsRefusedToASubscriber() {
        _ = machine.received(request(1, hello), isFollowed: false)
        #expect(
            machine.received(request(2, .eventsSubscribe(.init(events: [.tunnelOpened]))), isFollowed: false)
                == .subscribe(.number(2), [.tunnelOpened]))
        let action = machine.received(request(3, connect), isFollowed: true)
        guard case .refuse(.number(3), _, thenClose: true) = action else {
            Issue.record("\(action)")
            return
        }
        // What follows was meant for a stream that there is not.
        #expect(!machine.takesLines && machine.isOver)
    }

    @Test mutating func bytesAfterAHandoffAreRefused() {
        _ = machine.received(request(1, hello), isFollowed: true)
        let handoff = ConnectParameters(target: "i-1", remotePort: 22, handoff: true)
        #expect(code(machine.received(request(2, .connect(handoff)), isFollowed: true)) == ErrorObject.invalidRequest)
        #expect(machine.isOver)
    }

    @Test mutating func failedConnectGoesBackToRequestsIfNothingFollowed() {
        _ = machine.received(request(1, hello), isFollowed: false)
        _ = machine.received(request(2, connect), isFollowed: false)
        let failed = machine.connectFailed(isFollowed: false)
        #expect(failed?.0 == .number(2) && failed?.thenClose == false)
        #expect(machine.takesLines && !machine.isOver)
        #expect(machine.connectFailed(isFollowed: false) == nil)

        _ = machine.received(request(3, connect), isFollowed: true)
        #expect(machine.connectFailed(isFollowed: true)?.thenClose == true)
        #expect(!machine.takesLines && machine.isOver)
    }

    @Test mutating func endOfInputWaitsForWhatIsStillToBeSaid() {
        _ = machine.received(request(1, hello), isFollowed: false)
        _ = machine.received(request(2, .status), isFollowed: false)
        machine.receivedEndOfFile()
        #expect(!machine.isOver)
        machine.answered()
        #expect(machine.isOver)
    }

    @Test mutating func endOfInputIsNoEndForASubscriberOrAStream() {
        _ = machine.received(request(1, hello), isFollowed: false)
        _ = machine.received(request(2, connect), isFollowed: false)
        machine.receivedEndOfFile()
        #expect(!machine.isOver)
        _ = machine.connectFailed(isFollowed: false)
        #expect(machine.isOver)
        _ = machine.received(request(3, .eventsSubscribe(.init())), isFollowed: false)
        #expect(!machine.isOver)
    }

    @Test mutating func tooManyUnansweredRequestsStopTheReading() {
        _ = machine.received(request(1, hello), isFollowed: false)
        for number in 0..<SessionStateMachine.maximumOutstanding {
            #expect(machine.takesLines)
            _ = machine.received(request(number, .reload), isFollowed: false)
        }
        #expect(!machine.takesLines)
        machine.answered()
        #expect(machine.takesLines)
    }

    @Test("an end of input before hello ends the session") mutating func endBeforeHello() {
        #expect(!machine.isOver)
        machine.receivedEndOfFile()
        #expect(machine.isOver)
    }

    @Test("an end of input ends a session that waits for nothing") mutating func endWithNothingToSay() {
        _ = machine.received(request(1, hello), isFollowed: false)
        #expect(!machine.isOver)
        machine.receivedEndOfFile()
        #expect(machine.isOver)
    }

    @Test("a line that is too long, or no request, is refused and counts as answered") mutating func refusedLines() {
        _ = machine.received(request(1, hello), isFollowed: false)
        for _ in 0..<SessionStateMachine.maximumOutstanding * 2 {
            guard case .refuse(.null, let error, thenClose: false) = machine.receivedLongLine() else {
                Issue.record("not refused")
                return
            }
            #expect(error.data.kind == .lineTooLong)
            let refusal = ControlRequest.Refusal(id: .number(7), Failure(.invalidRequest, "it is none"))
            #expect(
                machine.received(.failure(refusal), isFollowed: true)
                    == .refuse(.number(7), refusal.error, thenClose: false))
            _ = machine.received(request(2, .eventsSubscribe(.init())), isFollowed: false)
        }
        #expect(machine.outstanding == 0 && machine.takesLines)
    }

    @Test("a tunnel that opens ends the session with its result") mutating func connectedTunnel() {
        _ = machine.received(request(1, hello), isFollowed: false)
        #expect(machine.connected() == nil && machine.connectID == nil)
        _ = machine.received(request(2, connect), isFollowed: false)
        #expect(!machine.isOver && machine.connectID == .number(2))
        #expect(machine.connected() == .number(2))
        #expect(machine.isOver && !machine.takesLines && machine.connectID == nil)
        #expect(machine.connected() == nil)
        #expect(machine.connectFailed(isFollowed: false) == nil)
    }

    @Test("a connect that is refused ends the session only where bytes follow it") mutating func refusedConnect() {
        _ = machine.received(request(1, hello), isFollowed: false)
        _ = machine.received(request(2, .status), isFollowed: false)
        guard case .refuse(_, _, thenClose: false) = machine.received(request(3, connect), isFollowed: false) else {
            Issue.record("not refused")
            return
        }
        #expect(machine.takesLines)
        guard case .refuse(_, _, thenClose: true) = machine.received(request(4, connect), isFollowed: true) else {
            Issue.record("not refused")
            return
        }
        #expect(!machine.takesLines && machine.isOver)
    }

    @Test("a handoff that nothing follows is begun") mutating func handoff() {
        _ = machine.received(request(1, hello), isFollowed: true)
        let handoff = ConnectParameters(target: "i-1", remotePort: 22, handoff: true)
        #expect(machine.received(request(2, .connect(handoff)), isFollowed: false) == .connect(.number(2), handoff))
    }
}
