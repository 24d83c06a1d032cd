import Failures
import Glibc
import SocketIO

/// Files that are written whole.
enum PrivateFile {
    /// Writes a new file beside `path` and renames it, so that nobody sees half of it, and no symbolic link is followed.
    static func write(_ text: String, to path: String, mode: mode_t) throws(Failure) {
        func failure() -> Failure {
            Failure(.stateNotSaved, "cannot write \(path)", why: SystemError("write").reason)
        }
        let aside = "\(path).\(getpid()).new"
        unlink(aside)
        let file = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard file >= 0 else { throw failure() }
        let descriptor = FileDescriptor(takingOwnership: file)
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor.raw, $0.baseAddress, $0.count) }
            guard count > 0 else { throw failure() }
            rest = rest.dropFirst(count)
        }
        descriptor.close()
        guard rename(aside, path) == 0 else { throw failure() }
    }

    static func read(_ path: String) throws(Failure) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw Failure(.malformedFile, "cannot read \(path)", why: SystemError("open").reason)
        }
        let descriptor = FileDescriptor(takingOwnership: file)
        var content: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 64 * 1_024)
        while true {
            let count = Glibc.read(descriptor.raw, &part, part.count)
            guard count >= 0 else {
                throw Failure(.malformedFile, "cannot read \(path)", why: SystemError("read").reason)
            }
            if count == 0 { return content }
            content += part[..<count]
        }
    }
}
