import Glibc

/// Whether a descriptor leads to the journal.
enum JournalStream {
    /// systemd sets `JOURNAL_STREAM` to the device and inode of the socket that it gave as stdout or stderr
    /// (systemd.exec(5)). Only if the descriptor is still that socket are its lines the journal's; else somebody
    /// redirected it and wants to see text there.
    ///
    /// - Parameter variable: `JOURNAL_STREAM`'s value, `DEVICE:INODE` in decimal.
    static func isConnected(descriptor: CInt, variable: String?) -> Bool {
        guard let parts = variable?.split(separator: ":", omittingEmptySubsequences: false), parts.count == 2,
            let device = UInt64(parts[0]), let inode = UInt64(parts[1])
        else { return false }
        var status = stat()
        return fstat(descriptor, &status) == 0 && UInt64(status.st_dev) == device && UInt64(status.st_ino) == inode
    }
}
