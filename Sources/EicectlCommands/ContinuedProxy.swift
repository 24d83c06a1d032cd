import ControlClient
import ControlConnect
import Descriptors
import EicectlProxy
import Failures
import Glibc

/// `eicectl proxy` where the small program stopped (``ProxyContinuation``): it cannot read what the daemon says, and knows that a
/// tunnel ended but not why.
enum ContinuedProxy {
    /// - Parameter words: the continuation, and then those after the word `proxy`.
    static func run(_ words: ArraySlice<String>) -> Never {
        do throws(Failure) {
            guard let continuation = ProxyContinuation(words.prefix(2)) else {
                throw Failure(
                    .usage, "\(ProxyContinuation.command) is no command", why: "eicectl proxy uses it itself",
                    hint: "eicectl help")
            }
            try finish(continuation, try ProxyRequest(Array(words.dropFirst(2))))
        } catch {
            Report.fail(error)
        }
        exit(0)
    }

    private static func finish(_ continuation: ProxyContinuation, _ request: ProxyRequest) throws(Failure) {
        switch continuation {
        case .ended(let outcome, let answer):
            try TunnelEnd(ofTunnelIn: answer.utf8, for: request).check(outcome)
        case .replies(let awaited, let session):
            guard fcntl(session, F_SETFD, FD_CLOEXEC) == 0 else {
                throw Failure(.internal, "cannot go on with the session", why: SystemError("fcntl").reason)
            }
            let client = try ControlClient(
                connected: FileDescriptor(takingOwnership: session), path: request.path, client: Eicectl.name)
            let tunnel = try client.resume(
                request.parameters, awaiting: awaited, watching: STDOUT_FILENO, onNotice: Report.notice)
            guard let outcome = try Proxy.deliver(tunnel.stream, request) else { return }
            try TunnelEnd(ofTunnelIn: tunnel.answer, for: request).check(outcome)
        }
    }
}
