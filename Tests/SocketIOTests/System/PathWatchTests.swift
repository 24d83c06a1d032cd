import Glibc
import Synchronization
import TestSupport
import Testing

@testable import SocketIO

@Suite struct PathWatchTests {
    /// A watch that looks at its folder again after each change, as the daemon does.
    private final class Watcher: Sendable {
        let changes = Mutex(0)
        private let watch = Mutex<LoopBound<PathWatch>?>(nil)

        func begin(_ path: String, on loop: isolated Loop) {
            let made = PathWatch(path, on: loop) { [weak self] in
                guard let self else { return }
                changes.withLock { $0 += 1 }
                look(on: loop)
            }
            watch.withLock { $0 = LoopBound(made, on: loop) }
        }

        /// Watches the folder that has the path now.
        func look(on loop: isolated Loop) { watch.withLock { $0 }?.get(on: loop).watchFolder() }

        func end(on loop: isolated Loop) {
            watch.withLock { $0 }?.get(on: loop).close(on: loop)
            watch.withLock { $0 = nil }
        }
    }

    private func pass(_ length: Duration, on loop: Loop) async {
        await handedOver { done in
            loop.submit { loop in _ = loop.schedule(after: length) { done(()) } }
        }
    }

    @Test("a change is reported, in a folder that replaced the old one too, and the watch does not report itself")
    func changes() async throws {
        let directory = try TemporaryDirectory()
        let folder = try directory.makeDirectory("run")
        let path = "\(folder)/control.sock"
        let (loop, watcher) = (try Loop(label: "test"), Watcher())
        await handedOver { done in
            loop.submit { loop in
                watcher.begin(path, on: loop)
                done(())
            }
        }
        /// Returns once a change that `body` makes was reported.
        func reported(_ what: String, _ body: () throws -> Void) async throws {
            let before = watcher.changes.withLock { $0 }
            try body()
            try await eventually("\(what) is reported") { watcher.changes.withLock { $0 } > before }
        }
        func remove() throws {
            try directory.write("run/control.sock", "")
            try #require(unlink(path) == 0)
        }

        try await reported("a removal", remove)
        // A watch that reports itself does so ten times a second. The removal may be two bursts on a busy machine, and
        // other tests may mount something.
        await pass(.seconds(1), on: loop)
        let before = watcher.changes.withLock { $0 }
        await pass(.seconds(1), on: loop)
        #expect(watcher.changes.withLock { $0 } <= before + 1, "nothing has changed since")

        try await reported("a rename") {
            try #require(rename(folder, "\(folder).old") == 0)
            _ = try directory.makeDirectory("run")
        }
        // The new folder may have come after the look that the rename caused.
        await handedOver { done in
            loop.submit { loop in
                watcher.look(on: loop)
                done(())
            }
        }
        try await reported("a removal in the new folder", remove)
        await handedOver { done in
            loop.submit { loop in
                watcher.end(on: loop)
                done(())
            }
        }
    }
}
