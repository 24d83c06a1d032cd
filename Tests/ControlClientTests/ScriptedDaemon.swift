import CLinux
import ControlProtocol
import Glibc
import SocketIO

/// The other end of a control socket: says and hears what a test wants. Blocking; the socket's buffer holds all that
/// these tests write, so that one thread can play both ends.
final class ScriptedDaemon {
    let near: FileDescriptor
    let far: FileDescriptor

    init() throws {
        (near, far) = try FileDescriptor.socketPair()
    }

    func say(_ text: String, passing descriptors: [CInt] = []) {
        let bytes = Array(text.utf8)
        _ = clinux_send_descriptors(far.raw, bytes, bytes.count, descriptors, descriptors.count)
    }

    func sayHello(id: Int = 1) {
        say(
            #"{"jsonrpc":"2.0","id":\#(id),"result":{"protocol":{"major":1,"minor":9},"version":"9.9","pid":1,"new":[]}}"#
                + "\n")
    }

    /// All that the client has written so far.
    func heard() -> String {
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(far.raw, &bytes, bytes.count, CInt(MSG_DONTWAIT))
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    func hangUp() { far.close() }
}

/// What can be read from a descriptor without waiting.
func readable(_ descriptor: FileDescriptor) -> String {
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = recv(descriptor.raw, &bytes, bytes.count, CInt(MSG_DONTWAIT))
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
}
