import ControlProtocol
import EicectlProxy

extension Report {
    /// What somebody who added or changed forwards should know beside the answer.
    static func warn(of forwards: [ForwardInfo]) {
        for forward in forwards where forward.remoteAllowed {
            note("warning: other hosts can reach \(forward.name), and through it \(forward.target)")
        }
    }
}
