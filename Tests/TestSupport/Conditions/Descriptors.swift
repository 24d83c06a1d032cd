import CLinux
import Glibc
import SocketIO

/// A pipe.
public func makePipe() throws -> (read: FileDescriptor, write: FileDescriptor) {
    var ends: [CInt] = [-1, -1]
    guard clinux_pipe(&ends) == 0 else { throw SystemError("pipe2") }
    return (FileDescriptor(takingOwnership: ends[0]), FileDescriptor(takingOwnership: ends[1]))
}

/// Two stream sockets that are joined.
public func makeSocketPair() throws -> (LoopbackSocket, FileDescriptor) {
    var pair: [CInt] = [-1, -1]
    guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
        throw SystemError("socketpair")
    }
    return (LoopbackSocket(takingOwnership: pair[0]), FileDescriptor(takingOwnership: pair[1]))
}

extension LoopbackSocket {
    /// One message: how many bytes it had, and the descriptors that came with it.
    public func receiveDescriptors() throws -> (bytes: Int, descriptors: [FileDescriptor]) {
        var buffer = [UInt8](repeating: 0, count: 1 << 12)
        var numbers = [CInt](repeating: -1, count: Int(CLINUX_MAX_DESCRIPTORS))
        var count = 0
        var truncated: CInt = 0
        let bytes = clinux_receive_descriptors(
            descriptor.raw, &buffer, buffer.count, 0, &numbers, &count, &truncated)
        guard bytes >= 0 else { throw SystemError("recvmsg") }
        guard truncated == 0 else { throw TestFailure("descriptors were dropped") }
        return (bytes, numbers.prefix(count).map(FileDescriptor.init(takingOwnership:)))
    }
}
