import Glibc

/// A system call that failed, by its errno.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    public let code: CInt
    /// What was being done, in words: "bind", "connect".
    public let operation: String

    /// - Parameter code: the errno; by default that of the call just made on this thread.
    public init(_ operation: String, code: CInt = errno) {
        self.code = code
        self.operation = operation
    }

    /// The system's words for the errno, beginning with a small letter: "address already in use".
    public var reason: String {
        var buffer = [CChar](repeating: 0, count: 256)
        // glibc's GNU variant may return a static string instead of filling the buffer; the POSIX one is what
        // Swift imports on Linux. Either way the buffer's or the call's own text is complete.
        _ = strerror_r(code, &buffer, buffer.count)
        let text = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard let first = text.first else { return "error \(code)" }
        return first.lowercased() + text.dropFirst()
    }

    public var description: String { "\(operation): \(reason)" }
}
