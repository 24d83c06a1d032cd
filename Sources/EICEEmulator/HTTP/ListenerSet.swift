import Glibc
import Logging
import SocketIO
import Synchronization

/// The emulator's listening sockets, all on one loop and on 127.0.0.1.
///
/// Not checked for Sendable by the compiler: the listeners are touched on the loop alone.
final class ListenerSet: @unchecked Sendable {
    private let loop: Loop
    private let log: Logger
    private var listeners: [Listener] = []

    init(_ loop: Loop, _ log: Logger) {
        self.loop = loop
        self.log = log
    }

    /// Binds at once and accepts from the loop's next turn on; until then connections wait in the backlog.
    ///
    /// - Returns: the port, which the kernel chose for 0.
    func listen(
        on port: UInt16, onAccept: @escaping @Sendable (FileDescriptor, isolated Loop) -> Void
    ) throws(SystemError) -> UInt16 {
        guard let address = SocketAddress(ip: "127.0.0.1", port: port) else {
            throw SystemError("listen", code: EINVAL)
        }
        let descriptor = try Listener.bind(to: address)
        loop.submit { loop in
            do throws(SystemError) {
                let log = self.log
                let listener = try Listener(
                    adopting: descriptor, on: loop,
                    onTrouble: { log.warning("\($0); tried again until it can") },
                    onAccept: { onAccept($0, loop) })
                self.listeners.append(listener)
            } catch {
                self.log.error("cannot listen on port \(port): \(error)")
            }
        }
        return SocketAddress.local(of: descriptor)?.port ?? port
    }

    func stop() async {
        await loop.run { loop in
            for listener in self.listeners { listener.close(on: loop) }
            self.listeners = []
        }
    }
}
