import Failures
import SocketIO

// Whether the endpoint is alive. On the relay loop.

extension Tunnel {
    var silenceOfEndpoint: Duration { (remote?.lastHeard ?? .now).duration(to: .now) }

    func lookForLife(_ step: Liveness.Step, on loop: isolated Loop) {
        guard machine.state == .open else { return }
        switch step {
        case .wait(let length): schedule(.liveness, at: .now + length, on: loop)
        case .ping(let length):
            remote?.probe(on: loop)
            schedule(.liveness, at: .now + length, on: loop)
        case .dead:
            let failure = Failure(
                .connectionLost, "\(endpointName) is silent",
                why: "no byte and no answer to a ping for \(silenceOfEndpoint.components.seconds) s")
            connectionFailed(failure, on: loop)
        case .stop: break
        }
    }

    func remoteAnswered(on loop: isolated Loop) {
        liveness.ponged()
        services.pings.note(endpointName)
        handle.update { $0.answersPings = true }
    }

    /// The path may have died without a word: the machine slept, or its routes changed.
    func probe(on loop: isolated Loop) {
        guard machine.state == .open else { return }
        lookForLife(liveness.probe(), on: loop)
    }
}
