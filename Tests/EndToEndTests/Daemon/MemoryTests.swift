import Glibc
import OpenSSL
import TestSupport
import Testing

/// What can be found in the daemon's memory after it has signed, by somebody who may look into it: root.
@Suite struct MemoryTests {
    private static let secret = "plantedSecretToLookFor/0123456789abcdefg"

    /// The keys that a signature is derived through (SigV4, "Derive a signing key"): whoever has the last one can sign for a day.
    private static func keys(date: String, service: String) -> [(name: String, key: [UInt8])] {
        var key = Array("AWS4\(secret)".utf8)
        var keys: [(String, [UInt8])] = [("the first key", key)]
        for part in [date, "eu-west-1", service, "aws4_request"] {
            key = Digest.hmacSHA256(key: key, message: part.utf8)
            keys.append(("the key of \(part) for \(service)", key))
        }
        return keys
    }

    /// In all memory that the process may write to.
    private static func search(_ process: pid_t, for patterns: [[UInt8]]) throws -> [Bool] {
        guard let maps = contents(of: "/proc/\(process)/maps") else { throw TestFailure("process \(process) is gone") }
        let memory = open("/proc/\(process)/mem", O_RDONLY | O_CLOEXEC)
        guard memory >= 0 else { throw TestFailure("cannot look into process \(process): errno \(errno)") }
        defer { close(memory) }
        var found = patterns.map { _ in false }
        for line in maps.split(separator: "\n") {
            let fields = line.split(separator: " ", maxSplits: 2)
            let ends = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
            guard ends.count == 2, fields[1].hasPrefix("rw") else { continue }
            var bytes = [UInt8](repeating: 0, count: Int(ends[1] - ends[0]))
            let count = pread(memory, &bytes, bytes.count, off_t(ends[0]))
            guard count > 0 else { continue }
            for (index, pattern) in patterns.enumerated() where !found[index] {
                found[index] = bytes.withUnsafeBytes {
                    contains(UnsafeRawBufferPointer(rebasing: $0[..<count]), pattern)
                }
            }
        }
        return found
    }

    /// By memchr(3): megabytes, in a debug build.
    private static func contains(_ bytes: UnsafeRawBufferPointer, _ pattern: [UInt8]) -> Bool {
        var rest = bytes
        while rest.count >= pattern.count, let base = rest.baseAddress,
            let place = memchr(base, CInt(pattern[0]), rest.count - pattern.count + 1)
        {
            if memcmp(place, pattern, pattern.count) == 0 { return true }
            rest = UnsafeRawBufferPointer(rebasing: rest[(UnsafeRawPointer(place) - base + 1)...])
        }
        return false
    }

    private static func today() -> String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        let (year, month, day) = (Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday))
        return "\(year * 10_000 + month * 100 + day)"
    }

    @Test(
        .enabled(if: geteuid() == 0, "only root may look into a process that has forbidden it"),
        .enabled(if: Sanitizer.isAbsent, "a sanitizer keeps what was freed, and more memory than can be searched"))
    func noKeyThatASignatureWasDerivedThroughIsInMemory() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(
            port: greeter.port, emulator: ["--secret-access-key", Self.secret],
            environment: ["AWS_SECRET_ACCESS_KEY": Self.secret]
        ) { scene in
            let before = Self.today()
            for _ in 0..<3 {
                let proxy = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
                try #require(proxy.code == 0, "\(proxy)")
            }
            let keys = Set([before, Self.today()]).flatMap { date in
                ["ec2", "ec2-instance-connect"].flatMap { Self.keys(date: date, service: $0) }
            }
            let process = scene.daemon.process.pid
            let found = try await onThread {
                try Self.search(process, for: [Array(Self.secret.utf8)] + keys.map(\.key))
            }
            // The secret itself is a Swift string, which nothing can overwrite: that it is found shows that the search works.
            #expect(found.first == true)
            for (key, isFound) in zip(keys, found.dropFirst()) { #expect(!isFound, "\(key.name) is in memory") }
        }
    }
}
