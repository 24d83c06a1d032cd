import Glibc

/// What a relative path of the command line is relative to; the daemon's own folder is another.
func currentFolder() -> String? {
    guard let name = getcwd(nil, 0) else { return nil }
    defer { free(name) }
    return String(cString: name)
}
