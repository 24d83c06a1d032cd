import Descriptors
import Failures
import Glibc

/// Shows on a terminal's stderr that something takes longer than half a second. On anything else it does nothing.
final class Spinner {
    private static let patience: CInt = 500
    private static let step: CInt = 100

    private struct Stage {
        let text: String
        let ended: FileDescriptor
    }

    /// Our end of what the thread waits on: closing it is what stops the thread.
    private var stopping: FileDescriptor?
    private var thread: pthread_t?

    init(_ text: String, enabled: Bool = isatty(STDERR_FILENO) == 1) {
        guard enabled else { return }
        guard let (near, far) = try? FileDescriptor.socketPair() else { return }
        let stage = UnsafeMutablePointer<Stage>.allocate(capacity: 1)
        stage.initialize(to: Stage(text: text, ended: far))
        var started = pthread_t()
        let code = pthread_create(
            &started, nil,
            { raw in
                if let stage = raw?.assumingMemoryBound(to: Stage.self) {
                    Spinner.turn(stage.pointee)
                    stage.deinitialize(count: 1)
                    stage.deallocate()
                }
                return nil
            }, stage)
        guard code == 0 else {
            stage.deinitialize(count: 1)
            stage.deallocate()
            return
        }
        stopping = near
        thread = started
    }

    /// Clears its line and returns when nothing more will be drawn.
    func stop() {
        guard let thread else { return }
        stopping?.close()
        pthread_join(thread, nil)
        self.thread = nil
    }

    private static func turn(_ stage: Stage) {
        var wait = pollfd(fd: stage.ended.raw, events: 0, revents: 0)
        guard poll(&wait, 1, patience) == 0 else { return }
        var frame = 0
        repeat {
            draw("\r\(["|", "/", "-", "\\"][frame % 4]) \(ForeignText.line(stage.text, limit: 200))")
            frame += 1
        } while poll(&wait, 1, step) == 0
        draw("\r\u{1B}[K")
    }

    private static func draw(_ text: String) {
        let bytes = Array(text.utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }
}
