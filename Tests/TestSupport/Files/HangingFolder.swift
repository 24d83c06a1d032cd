import Glibc
import Synchronization

/// A folder on a file system that does not answer, as a network's that is away: whatever looks into it waits until ``release()``. It is
/// a FUSE file system whose program never speaks (fuse(4)), so it needs root and the device.
public final class HangingFolder: Sendable {
    public static let isPossible = geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0 && isAllowed

    private let path: String
    private let device: Mutex<Int32>

    /// - Parameter path: an existing folder, over which it is mounted.
    public init(over path: String) throws {
        self.path = path
        let device = open("/dev/fuse", O_RDWR | O_CLOEXEC)
        guard device >= 0 else { throw TestFailure("cannot open /dev/fuse: errno \(errno)") }
        self.device = Mutex(device)
        let options = "fd=\(device),rootmode=40000,user_id=0,group_id=0"
        guard mount("hangs", path, "fuse", 0, options) == 0 else {
            throw TestFailure("cannot mount over \(path): errno \(errno)")
        }
    }

    deinit { release() }

    /// What waits fails, and the folder that was there before is back.
    public func release() {
        device.withLock { device in
            guard device >= 0 else { return }
            umount2(path, Int32(MNT_DETACH))
            close(device)
            device = -1
        }
    }

    /// A container may be root and may not mount.
    private static var isAllowed: Bool {
        guard let folder = try? TemporaryDirectory("fuse"), let hanging = try? HangingFolder(over: folder.path) else {
            return false
        }
        hanging.release()
        return true
    }
}
