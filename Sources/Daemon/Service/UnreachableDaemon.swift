import ControlServer
import Failures
import Glibc
import SocketIO

/// A daemon that runs and cannot be found at its control socket, since somebody removed the socket or its folder: another one must
/// not start beside it. Found by the claim to the state folder, which says who has it (``ForwardsDisk``). Blocks.
enum UnreachableDaemon {
    /// How long it may take to listen again.
    private static let patience = Duration.seconds(5)

    /// Looks for it, and has it listen again, for which SIGHUP asks. Returns when it can be reached, or where there is none.
    ///
    /// - Parameters:
    ///   - folder: the state folder's path; nil where there is none.
    ///   - path: the control socket's.
    /// - Throws: `.daemonRunning` when it cannot be brought to listen.
    static func wake(folder: String?, path: String) throws(Failure) {
        // Where its claim to the path stands, the path is its own business: it notices by itself, or is about to end.
        guard let folder, !isServed(path), !ControlListener.isClaimed(path),
            let pid = ForwardsDisk.holder(of: folder, servingAt: path)
        else { return }
        kill(pid, SIGHUP)
        let deadline = ContinuousClock.now + patience
        while ContinuousClock.now < deadline {
            if isServed(path) { return }
            // It has ended meanwhile.
            guard ForwardsDisk.holder(of: folder, servingAt: path) == pid else { return }
            usleep(20_000)
        }
        throw Failure(
            .daemonRunning, "another eiced (pid \(pid)) runs and cannot be reached at \(path)",
            why: "it did not listen there again when it was asked to", hint: "kill \(pid), then start eiced")
    }

    private static func isServed(_ path: String) -> Bool {
        guard let address = SocketAddress(unixPath: path), let probe = try? FileDescriptor.socket(AF_UNIX) else {
            return false
        }
        defer { probe.close() }
        // EAGAIN: it listens, and is busy.
        return address.withSockaddr { connect(probe.raw, $0, $1) } == 0 || errno == EAGAIN
    }
}
