import ControlServer
import Failures
import Logging
import ServiceManager
import SocketIO

/// Keeps the daemon where clients look for it: when a cleaner, a log-out or a new mount takes the control socket's file or its
/// folder away, the daemon listens there again. Confined to the control loop.
///
/// A socket that the service manager made is left alone: only its unit can make it again.
final class ControlPlace {
    /// While the folder cannot be made, as between two log-ins, it is tried again this often.
    private static let shortestPause = Duration.milliseconds(250)
    private static let longestPause = Duration.seconds(5)

    private let server: ControlServer
    private let socket: ControlListener
    private let notifier: Notifier
    private let logger: Logger
    private var watch: PathWatch?
    private var retry: Deadline?
    private var pause = ControlPlace.shortestPause

    init(_ server: ControlServer, _ socket: ControlListener, notifier: Notifier, logger: Logger, on loop: isolated Loop)
    {
        self.server = server
        self.socket = socket
        self.notifier = notifier
        self.logger = logger
        guard socket.lock != nil else { return }
        watch = PathWatch(socket.path, on: loop) { [weak self] in self?.check(on: loop) }
    }

    /// Listens again where the socket cannot be found any more.
    func check(on loop: isolated Loop) {
        guard watch != nil, server.isAccepting else { return }
        if let retry { loop.cancel(retry) }
        retry = nil
        let isFirst = pause == Self.shortestPause
        do throws(Failure) {
            if try server.restore(on: loop) {
                logger.notice(
                    "the control socket was gone: eiced listens on \(socket.path) again",
                    metadata: ["event": "listens-again"])
                notifier.removeStored(DescriptorStore.ownControl)
                notifier.store(socket.descriptor, as: DescriptorStore.ownControl)
            }
            pause = Self.shortestPause
            watch?.watchFolder()
            // Whatever happened between the look and the watch.
            if !socket.isReachable { tryAgain(on: loop) }
        } catch {
            if isFirst {
                logger.warning(
                    "the control socket is gone, and clients cannot find eiced until it is back: \(error)",
                    metadata: ["event": "socket-gone"])
            }
            tryAgain(on: loop)
        }
    }

    private func tryAgain(on loop: isolated Loop) {
        retry = loop.schedule(after: pause) { [weak self] in self?.check(on: loop) }
        pause = min(pause * 2, Self.longestPause)
    }

    /// The place is somebody else's from now on, or nobody's.
    func leave(on loop: isolated Loop) {
        watch?.close(on: loop)
        watch = nil
        if let retry { loop.cancel(retry) }
        retry = nil
    }
}
