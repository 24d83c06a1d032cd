import CLinux
import Glibc
import SocketIO

/// How one child is started and followed: what its thread needs.
final class SpawnPlan: Sendable {
    let inputEnd: FileDescriptor?
    private let command: [String]
    private let environment: [String: String]
    private let childInput: FileDescriptor
    private let childOutput: FileDescriptor
    private let childErrors: FileDescriptor
    private let outputPipe: FileDescriptor?
    private let errorPipe: FileDescriptor

    init(
        _ command: [String], environment: [String: String], input: ChildProcess.Input, output: ChildProcess.Output
    ) throws {
        self.command = command
        self.environment = Sanitizer.environment.merging(environment) { $1 }
        switch input {
        case .empty:
            childInput = FileDescriptor(takingOwnership: open("/dev/null", O_RDONLY | O_CLOEXEC))
            inputEnd = nil
        case .pipe: (childInput, inputEnd) = try makePipe()
        case .descriptor(let descriptor):
            childInput = try descriptor.duplicate()
            inputEnd = nil
        }
        switch output {
        case .captured: (outputPipe, childOutput) = try makePipe()
        case .descriptor(let descriptor):
            childOutput = try descriptor.duplicate()
            outputPipe = nil
        }
        (errorPipe, childErrors) = try makePipe()
    }

    func spawn() -> Result<pid_t, SystemError> {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, childInput.raw, 0)
        posix_spawn_file_actions_adddup2(&actions, childOutput.raw, 1)
        posix_spawn_file_actions_adddup2(&actions, childErrors.raw, 2)
        // All else that the tests have open is close-on-exec.

        // Swift's threads block nearly all signals and the test runner ignores some; a child must get neither.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var pid: pid_t = 0
        let code = withCStrings(command) { arguments in
            withCStrings(environment.map { "\($0.key)=\($0.value)" }) { variables in
                posix_spawn(&pid, command[0], &actions, &attributes, arguments, variables)
            }
        }
        childInput.close()
        childOutput.close()
        childErrors.close()
        return code == 0 ? .success(pid) : .failure(SystemError("start \(command[0])", code: code))
    }

    /// Empties the pipes until the child has ended, then what is still in them, and reaps it. What a grandchild
    /// would write later is lost: it may live for ever.
    func follow(_ pid: pid_t, into record: ChildRecord) {
        let ended = clinux_pidfd_open(pid)
        defer { if ended >= 0 { close(ended) } }
        var waiting = [
            pollfd(fd: ended, events: Int16(POLLIN), revents: 0),
            pollfd(fd: outputPipe?.raw ?? -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: errorPipe.raw, events: Int16(POLLIN), revents: 0),
        ]
        try? outputPipe?.setNonBlocking()
        try? errorPipe.setNonBlocking()
        while true {
            guard poll(&waiting, nfds_t(waiting.count), -1) >= 0 || errno == EINTR else { break }
            // Read before the end is looked at: what the child wrote is in the pipes when it ends.
            let over = waiting[0].revents != 0
            if !drain(waiting[1].fd, { record.append($0, to: \.output) }) { waiting[1].fd = -1 }
            if !drain(waiting[2].fd, { record.append($0, to: \.errors) }) { waiting[2].fd = -1 }
            if over { break }
        }
        record.reap(pid)
        outputPipe?.close()
        errorPipe.close()
    }

    /// Reads all that is there. False at the end of file.
    private func drain(_ descriptor: CInt, _ take: (ArraySlice<UInt8>) -> Void) -> Bool {
        guard descriptor >= 0 else { return false }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count > 0 {
                take(buffer[..<count])
            } else if count == 0 {
                return false
            } else if errno != EINTR {
                return true
            }
        }
    }
}

private func withCStrings<Value>(
    _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Value
) -> Value {
    let copies = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies + [nil])
}
