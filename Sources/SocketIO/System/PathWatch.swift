import CLinux
import Glibc

/// Notices that a file may no longer be found by its path: it, or its folder, was removed, renamed or replaced, or a file system
/// was mounted or unmounted. Costs nothing at rest. Confined to a loop.
///
/// inotify(7) reports what happens in the folder, and /proc/self/mountinfo reports mounts (proc_pid_mountinfo(5)). Where either
/// is missing the other one is left.
public final class PathWatch: ReadinessHandler {
    /// Removing a folder and mounting another one there are several steps: the last one of a burst counts.
    private static let settlingTime = Duration.milliseconds(100)

    private let folder: String
    private let onChange: () -> Void
    private var notify: FileDescriptor?
    private var watched: CInt = -1
    private var sources: [(descriptor: FileDescriptor, registration: Registration)] = []
    private var settling: Deadline?

    /// - Parameters:
    ///   - path: of the file.
    ///   - onChange: on the loop, once for each burst.
    public init(_ path: String, on loop: isolated Loop, onChange: @escaping () -> Void) {
        folder =
            path.utf8.lastIndex(of: UInt8(ascii: "/")).map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        self.onChange = onChange
        let number = inotify_init1(CInt(IN_NONBLOCK | IN_CLOEXEC))
        if number >= 0 {
            let descriptor = FileDescriptor(takingOwnership: number)
            notify = descriptor
            add(descriptor, on: loop)
        }
        let mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)
        if mounts >= 0 { add(FileDescriptor(takingOwnership: mounts), on: loop) }
        watchFolder()
    }

    private func add(_ descriptor: FileDescriptor, on loop: isolated Loop) {
        guard let registration = try? loop.register(descriptor, self) else { return }
        sources.append((descriptor, registration))
    }

    /// Watches the folder that has the path now; to be called when it may be another one.
    public func watchFolder() {
        guard let notify else { return }
        let events = IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF
        // The same number again if it is the same folder (inotify_add_watch(2)). To remove a watch is an event itself.
        let fresh = folder.withSystemString { inotify_add_watch(notify.raw, $0, UInt32(events)) }
        if watched >= 0, watched != fresh { inotify_rm_watch(notify.raw, watched) }
        watched = fresh
    }

    public func isReady(_ readiness: Readiness, on loop: isolated Loop) {
        var events = [UInt8](repeating: 0, count: 4_096)
        // Which event it was does not matter.
        if let notify { while read(notify.raw, &events, events.count) > 0 {} }
        guard settling == nil else { return }
        settling = loop.schedule(after: Self.settlingTime) { [weak self] in
            guard let self else { return }
            settling = nil
            onChange()
        }
    }

    public func close(on loop: isolated Loop) {
        for source in sources {
            loop.deregister(source.registration)
            source.descriptor.close()
        }
        sources = []
        notify = nil
        if let settling { loop.cancel(settling) }
        settling = nil
    }
}
