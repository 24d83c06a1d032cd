import CLinux
import Glibc
import SocketIO
import TestSupport
import Testing

@Suite struct SpawnHelperTests {
    /// A helper's own limit of descriptors is lower than what a daemon with many tunnels has open.
    @Test func aHelperStartsBesideMoreDescriptorsThanItMayHave() async throws {
        var limit = rlimit()
        try #require(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
        // The descriptors below and those of the tests that run beside this one.
        try #require(limit.rlim_max >= 4_096, "raise the hard limit of open files for the tests")
        limit.rlim_cur = limit.rlim_max
        try #require(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)

        let output = try makePipe()
        let errors = try makePipe()
        let many = try (0..<1100).map { _ in try errors.write.duplicate() }
        let (code, pid) = try await onThread {
            var arguments: [UnsafeMutablePointer<CChar>?] = [
                strdup("sh"), strdup("-c"), strdup("ulimit -n"), nil,
            ]
            var variables: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/bin:/bin"), nil]
            defer { for text in arguments + variables { free(text) } }
            var pid: pid_t = 0
            let code = clinux_spawn_helper(&arguments, &variables, output.write.raw, errors.write.raw, &pid)
            // Its life is bound to this thread's.
            if code == 0 { waitpid(pid, nil, 0) }
            return (code, pid)
        }
        #expect(code == 0 && pid > 0)
        output.write.close()
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = read(output.read.raw, &buffer, buffer.count)
        #expect(String(decoding: buffer.prefix(max(0, count)), as: UTF8.self) == "1024\n")
        #expect(many.count == 1100)
    }
}
