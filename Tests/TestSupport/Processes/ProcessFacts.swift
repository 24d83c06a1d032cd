import Glibc

/// What the kernel says of a process, by its `/proc` folder. Reading one's own works too.
public struct ProcessFacts: Sendable {
    public let pid: pid_t

    public init(of pid: pid_t) { self.pid = pid }

    /// Open descriptors.
    public var descriptorCount: Int? { Self.entries("/proc/\(pid)/fd") }

    /// Connections over IPv4 to a port, of all processes in the same network.
    public func connectionCount(to port: UInt16) -> Int? {
        // proc(5), /proc/net/tcp: number, local address, remote address, state; addresses in hexadecimal, 01 is ESTABLISHED.
        let ending = ":" + String(Int(port) | 0x1_0000, radix: 16, uppercase: true).dropFirst()
        return contents(of: "/proc/\(pid)/net/tcp")?.split(separator: "\n").count { line in
            let fields = line.split(separator: " ")
            return fields.count > 3 && fields[2].hasSuffix(ending) && fields[3] == "01"
        }
    }

    public var threadCount: Int? { Self.entries("/proc/\(pid)/task") }

    /// Memory in KiB: the resident pages, each shared one divided among those who share it.
    public var proportionalSetSize: Int? { field("Pss:", of: "smaps_rollup") }

    /// Memory in KiB: the resident pages.
    public var residentSetSize: Int? { field("VmRSS:", of: "status") }

    /// Memory in KiB that counts for RLIMIT_DATA: what is private and can be written to, used or not.
    public var dataSize: Int? { field("VmData:", of: "status") }

    /// Processor time used so far, in user and kernel mode.
    public var processorTime: Duration? {
        // The command name is in parentheses and may hold anything; what follows the last one is numbers.
        guard let stat = contents(of: "/proc/\(pid)/stat"), let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        // proc(5): utime and stime are fields 14 and 15, and the first one here is field 3.
        guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else { return nil }
        return .seconds(1) * (user + system) / Int(sysconf(CInt(_SC_CLK_TCK)))
    }

    /// By thread, how often it waited for something and was woken.
    public var wakeUpCounts: [String: Int]? {
        guard let folder = opendir("/proc/\(pid)/task") else { return nil }
        defer { closedir(folder) }
        var counts: [String: Int] = [:]
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { counts[name] = field("voluntary_ctxt_switches:", of: "task/\(name)/status") }
        }
        return counts
    }

    private func field(_ name: String, of file: String) -> Int? {
        contents(of: "/proc/\(pid)/\(file)")?.split(separator: "\n").first { $0.hasPrefix(name) }
            .flatMap { $0.split { $0 == " " || $0 == "\t" }.dropFirst().first.flatMap { Int($0) } }
    }

    private static func entries(_ path: String) -> Int? {
        guard let folder = opendir(path) else { return nil }
        defer { closedir(folder) }
        var count = 0
        while let entry = readdir(folder) {
            // d_name[0] alone: "." and ".." are all that begins with a dot here.
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        return count
    }
}
