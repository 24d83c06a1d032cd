import AWS
import Basics
import Failures
import Glibc
import SocketIO
import Synchronization

/// `forwards.json` on the disk: read once, then replaced as a whole. All of it blocks; one caller at a time.
///
/// The file is replaced only by a daemon that knows what it replaces: one that read it, that holds its lock, and that found in
/// it nothing that it would lose.
final class ForwardsDisk: Sendable {
    /// What was found at the start.
    struct Loaded: Sendable {
        var forwards: [SavedForward] = []
        /// What a person should know.
        var warnings: [Failure] = []
    }

    private struct State {
        var folder: StateFolder?
        var lock: FileDescriptor?
        /// Why what stands there is not ours to replace. Nil: it is.
        var obstacle: Failure?
        /// What is on the disk, so that a save that fails half way can be undone.
        var text: [UInt8]?
    }

    /// Nil where there is no home.
    let folderPath: String?
    private let sync: DiskSync
    private let state = Mutex(State())

    private static let lockName = "forwards.lock"
    /// Where the daemon is found that has the lock.
    private let controlPath: String

    /// - Parameters:
    ///   - lock: the claim to the folder, where another process passed it on.
    ///   - controlPath: the control socket's path, which is noted in the lock.
    init(
        folderPath: String?, lock: FileDescriptor? = nil, controlPath: String = "", sync: DiskSync = DiskSync()
    ) {
        self.folderPath = folderPath
        self.controlPath = controlPath
        self.sync = sync
        state.withLock { $0.lock = lock }
    }

    /// Notes this process as the one that has the lock, where another one passed it on. Where nothing can be written, nothing is
    /// noted.
    func sign() { state.withLock { sign($0.lock) } }

    private func sign(_ lock: FileDescriptor?) {
        guard let lock else { return }
        let text = Array("\(getpid())\n".utf8) + controlPath.systemBytes + Array("\n".utf8)
        _ = ftruncate(lock.raw, 0)
        _ = pwrite(lock.raw, text, text.count, 0)
    }

    /// The process that has the lock of the folder at `path`, if its control socket is at `controlPath`. Nil where nobody has it,
    /// or it is not known who. Blocks, and changes nothing.
    static func holder(of path: String, servingAt controlPath: String) -> pid_t? {
        let flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
        let raw = "\(path)/\(lockName)".withSystemString { Glibc.open($0, flags) }
        guard raw >= 0 else { return nil }
        let file = FileDescriptor(takingOwnership: raw)
        // One that can be locked is left by a daemon that has ended; this lock ends with the descriptor.
        guard flock(raw, LOCK_SH | LOCK_NB) != 0, errno == EWOULDBLOCK else { return nil }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = pread(file.raw, &bytes, bytes.count, 0)
        let lines = bytes.prefix(max(0, count)).split(separator: UInt8(ascii: "\n"), maxSplits: 1)
        guard lines.count == 2, let pid = pid_t(String(systemBytes: lines[0])), pid > 0,
            lines[1].dropLast().elementsEqual(controlPath.systemBytes)
        else { return nil }
        return pid
    }

    /// The claim to the folder, for the process that takes over.
    var lock: FileDescriptor? { state.withLock { $0.lock } }

    /// Another process has taken over: nothing is written here any more.
    func letGo() {
        state.withLock { state in
            state.folder = nil
            state.lock = nil
        }
    }

    /// What messages call the file.
    var path: String { "\(folderPath ?? "~/.local/state/eiced")/\(ForwardsFile.name)" }

    // MARK: Reading

    /// Reads the file. A damaged one is given another name, and the daemon starts without it.
    func load(at time: WallTime) -> Loaded {
        state.withLock { state in
            do throws(Failure) {
                let folder: StateFolder
                do throws(Failure) {
                    folder = try open(&state)
                } catch {
                    // The folder may be there for a later save; what stands in it then is still unknown to us.
                    state.obstacle = unread
                    return Loaded(warnings: [error])
                }
                return try load(from: folder, at: time, &state)
            } catch {
                state.obstacle = error
                return Loaded(warnings: [error])
            }
        }
    }

    private func load(
        from folder: StateFolder, at time: WallTime, _ state: inout State
    ) throws(Failure) -> Loaded {
        let content: StateFolder.Content
        do throws(SystemError) {
            content = try folder.read(ForwardsFile.name)
        } catch {
            throw Failure(
                .stateNotSaved, "cannot read the saved forwards in \(path)", why: error.reason,
                hint: "make it readable and restart eiced")
        }
        switch content {
        case .nothing: return Loaded()
        case .foreign(let why): return try setAside(folder, because: why, at: time)
        case .bytes(let bytes):
            switch ForwardsFile.read(bytes) {
            case .forwards(let forwards):
                state.text = bytes
                return Loaded(forwards: forwards)
            case .damaged(let why): return try setAside(folder, because: why, at: time)
            case .fromTheFuture(let version):
                throw Failure(
                    .stateNotSaved, "the saved forwards in \(path) are left alone",
                    why: "a newer eiced wrote them (version \(version), and this one knows \(ForwardsFile.version))",
                    hint: "start the newer eiced, or move the file away; forwards can be added with --ephemeral")
            }
        }
    }

    private func setAside(
        _ folder: StateFolder, because why: String, at time: WallTime
    ) throws(Failure) -> Loaded {
        do throws(SystemError) {
            let name = try folder.setAside(ForwardsFile.name, at: time.amzDate)
            return Loaded(warnings: [
                Failure(
                    .malformedFile, "the saved forwards in \(path) cannot be used", why: why,
                    hint: "the file is now \(folder.path)/\(name): correct it, move it back and restart eiced, "
                        + "or add the forwards again")
            ])
        } catch {
            throw Failure(
                .stateNotSaved, "the saved forwards in \(path) cannot be used", why: why,
                hint: "move the file away; it could not be set aside: \(error.reason)")
        }
    }

    /// The folder, made and locked if that was not done yet.
    private func open(_ state: inout State) throws(Failure) -> StateFolder {
        guard let folderPath else {
            throw notSaved("there is no home folder", hint: "set XDG_STATE_HOME or HOME for eiced")
        }
        if state.folder?.isGone ?? false {
            // Somebody removed it; another one by its name may have what we never read.
            state = State(obstacle: unread)
        }
        do throws(SystemError) {
            if state.folder == nil { state.folder = try StateFolder(opening: folderPath, sync: sync) }
            if state.lock == nil {
                state.lock = try state.folder?.lock(Self.lockName)
                sign(state.lock)
            }
        } catch {
            throw notSaved("\(error)", hint: "look at the folder \(folderPath)")
        }
        guard let folder = state.folder, state.lock != nil else {
            throw notSaved(
                "another eiced keeps its forwards there",
                hint: "stop that one, or give this one a folder of its own with XDG_STATE_HOME")
        }
        return folder
    }

    private var unread: Failure { notSaved("it was not read when eiced started", hint: "restart eiced") }

    private func notSaved(_ why: String, hint: String?) -> Failure {
        Failure(
            .stateNotSaved, "forwards cannot be kept in \(path)", why: why,
            hint: (hint.map { "\($0); " } ?? "") + "with --ephemeral a forward lasts until eiced ends")
    }

    // MARK: Writing

    /// Replaces the file. When this returns the new one is on the disk; when it throws the old one is.
    func save(_ forwards: [SavedForward]) throws(Failure) {
        let failure: Failure? = state.withLock { state in
            do throws(Failure) {
                try save(forwards, &state)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    private func save(_ forwards: [SavedForward], _ state: inout State) throws(Failure) {
        let folder = try open(&state)
        if let obstacle = state.obstacle {
            // Gone is gone; but whatever else stands there now was never read.
            guard !folder.contains(ForwardsFile.name) else { throw obstacle }
            state.obstacle = nil
        }
        let text: [UInt8]
        do {
            text = try ForwardsFile.text(forwards)
        } catch {
            throw Failure(.internal, "cannot write the saved forwards as JSON", why: "\(error)")
        }
        guard text.count <= StateFolder.longestFile else {
            throw Failure(
                .tooManyForwards, "no more forwards can be kept in \(path)",
                why:
                    "they would take \(text.count) bytes; at most \(StateFolder.longestFile >> 20) MiB are read at the next start",
                hint: "remove forwards with eicectl rm, or add these with --ephemeral")
        }
        do throws(SystemError) {
            try folder.replace(ForwardsFile.name, with: text)
            state.text = text
        } catch {
            undo(folder, text, to: state.text)
            throw notSaved("\(error)", hint: error.code == ENOSPC || error.code == EDQUOT ? "free some space" : nil)
        }
    }

    /// Restores the file. A save may fail after its rename, when the folder cannot be synced.
    ///
    /// - Parameter old: nil if there was no file.
    private func undo(_ folder: StateFolder, _ fresh: [UInt8], to old: [UInt8]?) {
        let present = (try? folder.read(ForwardsFile.name)) ?? .nothing
        if let old {
            if present != .bytes(old) { try? folder.replace(ForwardsFile.name, with: old) }
        } else if present == .bytes(fresh) {
            try? folder.remove(ForwardsFile.name)
        }
    }
}
