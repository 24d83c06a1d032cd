// System calls that take a path. For a `String` the compiler prefers these to Glibc's, so that wherever this module is imported a
// path reaches the system with every byte that it came with (see ``Swift/String/systemBytes``).
import Glibc

public func open(_ path: String, _ flags: CInt) -> CInt { path.withSystemString { Glibc.open($0, flags) } }

public func open(_ path: String, _ flags: CInt, _ mode: mode_t) -> CInt {
    path.withSystemString { Glibc.open($0, flags, mode) }
}

public func stat(_ path: String, _ status: UnsafeMutablePointer<Glibc.stat>) -> CInt {
    path.withSystemString { stat($0, status) }
}

public func lstat(_ path: String, _ status: UnsafeMutablePointer<Glibc.stat>) -> CInt {
    path.withSystemString { Glibc.lstat($0, status) }
}

public func access(_ path: String, _ mode: CInt) -> CInt { path.withSystemString { Glibc.access($0, mode) } }

public func mkdir(_ path: String, _ mode: mode_t) -> CInt { path.withSystemString { Glibc.mkdir($0, mode) } }

@discardableResult
public func rmdir(_ path: String) -> CInt { path.withSystemString { Glibc.rmdir($0) } }

@discardableResult
public func unlink(_ path: String) -> CInt { path.withSystemString { Glibc.unlink($0) } }

public func rename(_ old: String, _ new: String) -> CInt {
    old.withSystemString { old in new.withSystemString { Glibc.rename(old, $0) } }
}

public func opendir(_ path: String) -> OpaquePointer? { path.withSystemString { Glibc.opendir($0) } }

public func fnmatch(_ pattern: String, _ path: String, _ flags: CInt) -> CInt {
    pattern.withSystemString { pattern in path.withSystemString { Glibc.fnmatch(pattern, $0, flags) } }
}

/// The target of a symbolic link; nil, with errno, where it cannot be read.
public func readlink(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = path.withSystemString { Glibc.readlink($0, &buffer, buffer.count) }
    guard count > 0 else { return nil }
    return String(systemBytes: buffer.prefix(count).map(UInt8.init(bitPattern:)))
}

/// The path without links, `.` and `..`; nil, with errno, where there is no such file.
public func realpath(_ path: String) -> String? {
    guard let real = path.withSystemString({ Glibc.realpath($0, nil) }) else { return nil }
    defer { free(real) }
    return String(systemString: real)
}

/// Makes and opens a new file whose name is `path` with six random characters after it.
///
/// - Returns: its descriptor and path; nil, with errno.
public func mkstemp(beside path: String) -> (descriptor: CInt, path: String)? {
    var template = (path + ".XXXXXX").systemBytes.map(CChar.init(bitPattern:)) + [0]
    let descriptor = Glibc.mkstemp(&template)
    guard descriptor >= 0 else { return nil }
    return (descriptor, String(systemBytes: template.dropLast().map(UInt8.init(bitPattern:))))
}

/// Makes a new folder in `parent`, mode 0700, whose name is `name` with six random characters after it.
///
/// - Returns: its path; nil, with errno.
public func mkdtemp(in parent: String, name: String) -> String? {
    var template = "\(parent)/\(name)XXXXXX".systemBytes.map(CChar.init(bitPattern:)) + [0]
    guard Glibc.mkdtemp(&template) != nil else { return nil }
    return String(systemBytes: template.dropLast().map(UInt8.init(bitPattern:)))
}

/// The folder of this process; nil, with errno.
public func currentFolder() -> String? {
    guard let name = getcwd(nil, 0) else { return nil }
    defer { free(name) }
    return String(systemString: name)
}
