import FoundationEssentials
import Glibc
import SocketIO
import TestSupport

/// Reads a daemon's audit as it grows, past the points where the file is set aside and a new one begun.
struct AuditFollower {
    private let path: String
    private var file: FileDescriptor?
    private var inode: ino_t = 0
    /// The beginning of a line whose end is not there yet.
    private var rest: [UInt8] = []
    private(set) var ends: [ReportedEnd] = []

    init(_ path: String) { self.path = path }

    /// Takes what is new. Often enough: two changes of the file between two calls would lose one.
    mutating func read() throws {
        while true {
            try readOpenFile()
            var now = stat()
            guard stat(path, &now) == 0, file == nil || now.st_ino != inode else { return }
            let raw = open(path, O_RDONLY | O_CLOEXEC)
            guard raw >= 0 else { return }
            let next = FileDescriptor(takingOwnership: raw)
            guard fstat(raw, &now) == 0 else { throw SystemError("look at \(path)") }
            // What was written between the last look and the change.
            try readOpenFile()
            file = next
            inode = now.st_ino
        }
    }

    private mutating func readOpenFile() throws {
        guard let file else { return }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(file.raw, &buffer, buffer.count)
            guard count > 0 else { return }
            rest += buffer[..<count]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                ends.append(try JSONDecoder().decode(ReportedEnd.self, from: Data(rest[..<end])))
                rest.removeSubrange(...end)
            }
        }
    }
}
