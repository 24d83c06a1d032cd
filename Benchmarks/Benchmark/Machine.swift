import Glibc
import TestSupport

/// Where a run took place: figures of two machines do not compare.
struct Machine: Codable, Hashable, Sendable {
    var processor: String
    var cores: Int
    var memoryMiB: Int
    var kernel: String

    static func here() -> Machine {
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let pages = sysconf(CInt(_SC_PHYS_PAGES)) / (1 << 20) * sysconf(CInt(_SC_PAGESIZE))
        let rest = sysconf(CInt(_SC_PHYS_PAGES)) % (1 << 20) * sysconf(CInt(_SC_PAGESIZE)) >> 20
        return Machine(
            processor: processorName(), cores: coreCount, memoryMiB: pages + rest,
            kernel: release)
    }

    static var coreCount: Int { sysconf(CInt(_SC_NPROCESSORS_ONLN)) }

    /// Ticks of all cores since boot (proc(5), /proc/stat), and how many of them were spent on work.
    static func ticks() -> (busy: Int, all: Int) {
        let line = contents(of: "/proc/stat")?.split(separator: "\n").first ?? ""
        let fields = line.split(separator: " ").dropFirst().compactMap { Int($0) }
        guard fields.count >= 8 else { return (0, 0) }
        // The fourth and fifth are idle time; the ninth and tenth are in the first two already.
        let all = fields.prefix(8).reduce(0, +)
        return (all - fields[3] - fields[4], all)
    }

    private static func processorName() -> String {
        let lines = contents(of: "/proc/cpuinfo")?.split(separator: "\n") ?? []
        guard let line = lines.first(where: { $0.hasPrefix("model name") }), let colon = line.firstIndex(of: ":") else {
            return "unknown processor"
        }
        return String(line[colon...].dropFirst().drop { $0 == " " })
    }

    var sentence: String { "\(processor), \(cores) cores, \(memoryMiB) MiB of memory, Linux \(kernel)." }
}
