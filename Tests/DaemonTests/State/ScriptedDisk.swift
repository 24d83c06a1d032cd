import Glibc
import Synchronization

@testable import Daemon

/// fsync(2) as the test wants it.
final class ScriptedDisk: Sendable {
    private struct State {
        var fileError: CInt = 0
        var folderError: CInt = 0
        var calls: [String] = []
    }

    private let state = Mutex(State())

    func fail(file: CInt = 0, folder: CInt = 0) {
        state.withLock { state in
            state.fileError = file
            state.folderError = folder
        }
    }

    /// What was written to the disk since the last look.
    func calls() -> [String] {
        state.withLock { state in
            defer { state.calls = [] }
            return state.calls
        }
    }

    var sync: DiskSync {
        DiskSync(
            file: { self.answer("file", $0, \.fileError) }, folder: { self.answer("folder", $0, \.folderError) })
    }

    private func answer(_ name: String, _ descriptor: CInt, _ error: KeyPath<State, CInt>) -> CInt {
        let code = state.withLock { state in
            state.calls.append(name)
            return state[keyPath: error]
        }
        var status = stat()
        // What is written is what was asked for: a file's content, or a folder's entries.
        guard fstat(descriptor, &status) == 0,
            (status.st_mode & S_IFMT == S_IFDIR) == (name == "folder")
        else { preconditionFailure("\(name) is something else") }
        guard code != 0 else { return 0 }
        errno = code
        return -1
    }
}
