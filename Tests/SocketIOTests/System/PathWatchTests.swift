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
                watch.withLock { $0 }?.get(on: loop).watchFolder()
            }
            watch.withLock { $0 = LoopBound(made, on: loop) }
        }

        func end(on loop: isolated Loop) {
            watch.withLock { $0 }?.get(on: loop).close(on: loop)
            watch.withLock { $0 = nil }
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
        try directory.write("run/control.sock", "")
        try #require(unlink(path) == 0)
        try await eventually("the removal is reported") { watcher.changes.withLock { $0 } == 1 }
        // Five times as long as a burst takes to settle.
        await handedOver { done in
            loop.submit { loop in _ = loop.schedule(after: .milliseconds(500)) { done(()) } }
        }
        #expect(watcher.changes.withLock { $0 } == 1, "nothing has changed since")

        try #require(rename(folder, "\(folder).old") == 0)
        _ = try directory.makeDirectory("run")
        try await eventually("the rename is reported") { watcher.changes.withLock { $0 } >= 2 }
        await handedOver { done in
            loop.submit { loop in _ = loop.schedule(after: .milliseconds(500)) { done(()) } }
        }
        let before = watcher.changes.withLock { $0 }
        try directory.write("run/control.sock", "")
        try #require(unlink(path) == 0)
        try await eventually("the removal in the new folder is reported") { watcher.changes.withLock { $0 } > before }
        await handedOver { done in
            loop.submit { loop in
                watcher.end(on: loop)
                done(())
            }
        }
    }
}
