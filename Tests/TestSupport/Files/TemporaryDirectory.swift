import Glibc

/// A folder of the test's own, mode 0700, that goes with all that is in it when the last reference goes.
public final class TemporaryDirectory: Sendable {
    public let path: String

    /// The path is short, since Unix sockets stand in it and their paths end at 107 bytes.
    public init(_ name: String = "eiced") throws {
        var template = Array("/tmp/\(name).XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw TestFailure("mkdtemp: errno \(errno)") }
        path = String(cString: made)
    }

    deinit { Self.remove(path) }

    /// The path of `name` in the folder.
    public func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file and returns its path.
    @discardableResult
    public func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws -> String {
        try write(name, Array(text.utf8), mode: mode)
    }

    /// Writes a file and returns its path.
    @discardableResult
    public func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws -> String {
        let path = self(name)
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard file >= 0 else { throw TestFailure("cannot create \(path): errno \(errno)") }
        defer { close(file) }
        guard bytes.withUnsafeBytes({ Glibc.write(file, $0.baseAddress, $0.count) }) == bytes.count else {
            throw TestFailure("cannot write \(path): errno \(errno)")
        }
        return path
    }

    /// Makes a folder in the folder and returns its path.
    @discardableResult
    public func makeDirectory(_ name: String, mode: mode_t = 0o700) throws -> String {
        let path = self(name)
        guard mkdir(path, mode) == 0 || errno == EEXIST else {
            throw TestFailure("cannot make \(path): errno \(errno)")
        }
        return path
    }

    /// Removes what `path` names, a folder with all that is in it. Links are removed, never followed.
    private static func remove(_ path: String) {
        if unlink(path) == 0 || errno != EISDIR { return }
        if let folder = opendir(path) {
            while let entry = readdir(folder) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != "." && name != ".." { remove("\(path)/\(name)") }
            }
            closedir(folder)
        }
        rmdir(path)
    }
}

/// The whole of a small file, or nil where it cannot be read.
public func contents(of path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(file, &buffer, buffer.count)
        if count <= 0 { return count == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
        bytes += buffer[..<count]
    }
}
