import Glibc

/// Texts to a descriptor, whole.
public enum TextOutput {
    /// Writes all of `text`, and waits where the descriptor takes no more for now. Blocks.
    ///
    /// - Returns: why not all of it was written; nil when it was.
    public static func write(_ text: String, to descriptor: CInt) -> SystemError? {
        write(Array(text.utf8), to: descriptor)
    }

    /// The same for bytes.
    public static func write(_ bytes: [UInt8], to descriptor: CInt) -> SystemError? {
        var bytes = bytes[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN {
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wait, 1, -1)
                continue
            }
            guard count > 0 else { return SystemError("write", code: count < 0 ? errno : ENOSPC) }
            bytes = bytes.dropFirst(count)
        }
        return nil
    }
}
