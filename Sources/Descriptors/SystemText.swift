import CLinux
import Glibc

/// Paths, arguments and environment variables are bytes (path_resolution(7), environ(7)), and `String` holds Unicode. These
/// conversions lose nothing: a byte that belongs to no valid UTF-8 sequence becomes one scalar of a private-use range,
/// U+10FF80 to U+10FFFF, and becomes that byte again at the next system call.
///
/// There are no collisions: where the bytes themselves are the UTF-8 of such a scalar, each of them is taken as a stray byte. So
/// decoding and encoding any bytes gives the same bytes.
extension String {
    /// A stray byte, 0x80 to 0xFF, is this plus the byte.
    private static let strayByte: UInt32 = 0x10_FF00
    private static let strayScalars: ClosedRange<UInt32> = 0x10_FF80...0x10_FFFF
    /// The first byte of the UTF-8 of every scalar of that range, and of few others.
    private static let strayLead: UInt8 = 0xF4

    /// The text of bytes that came from the system.
    public init(systemBytes bytes: some Collection<UInt8>) {
        if let text = String(validating: bytes, as: UTF8.self), !text.utf8.contains(Self.strayLead) {
            self = text
            return
        }
        let bytes = Array(bytes)
        var text = ""
        var start = 0
        while start < bytes.count {
            // The longest a valid sequence can be; of the lengths at most one is valid.
            let length = (1...4).first { length in
                start + length <= bytes.count
                    && String(validating: bytes[start..<start + length], as: UTF8.self) != nil
            }
            if let length,
                let scalar = String(decoding: bytes[start..<start + length], as: UTF8.self).unicodeScalars.first,
                !Self.strayScalars.contains(scalar.value)
            {
                text.unicodeScalars.append(scalar)
                start += length
            } else {
                if let scalar = Unicode.Scalar(Self.strayByte + UInt32(bytes[start])) {
                    text.unicodeScalars.append(scalar)
                }
                start += 1
            }
        }
        self = text
    }

    /// The text of a C string that came from the system.
    public init(systemString pointer: UnsafePointer<CChar>) {
        self.init(
            systemBytes: UnsafeRawBufferPointer(start: pointer, count: strlen(pointer)))
    }

    /// The bytes as the system has them.
    public var systemBytes: [UInt8] {
        guard utf8.contains(Self.strayLead) else { return Array(utf8) }
        var bytes: [UInt8] = []
        for scalar in unicodeScalars {
            if Self.strayScalars.contains(scalar.value) {
                bytes.append(UInt8(truncatingIfNeeded: scalar.value))
            } else {
                bytes.append(contentsOf: String(scalar).utf8)
            }
        }
        return bytes
    }

    /// Calls `body` with the bytes as the system has them, and a NUL after them.
    public func withSystemString<Value>(_ body: (UnsafePointer<CChar>) -> Value) -> Value {
        guard utf8.contains(Self.strayLead) else { return withCString(body) }
        return (systemBytes + [0]).withUnsafeBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { $0.baseAddress.map(body) ?? withCString(body) }
        }
    }

    /// A copy of the bytes as the system has them, with a NUL after them; the caller must free(3) it.
    public func duplicateSystemString() -> UnsafeMutablePointer<CChar>? { withSystemString { strdup($0) } }
}

/// What this process was started with.
public enum ProcessStart {
    /// Its arguments, its own name first. Needs no /proc, and loses no byte; `CommandLine.arguments` does both.
    public static var arguments: [String] {
        guard let list = clinux_arguments() else { return [] }
        return (0..<Int(clinux_argument_count())).compactMap { index in
            list[index].map { String(systemString: $0) }
        }
    }

    /// A variable of its environment; nil where it is not set.
    public static func variable(_ name: String) -> String? {
        getenv(name).map { String(systemString: $0) }
    }

    /// All of its environment, `NAME=value` each.
    public static var environment: [String] {
        var variables: [String] = []
        var next = environ
        while let variable = next.pointee {
            variables.append(String(systemString: variable))
            next += 1
        }
        return variables
    }

    /// The absolute path of the program that it runs; nil where the system does not say. Where the file was replaced since, its
    /// path has a note of that after it (proc_pid_exe(5)).
    public static var executable: String? {
        if let path = readlink("/proc/self/exe") { return path }
        // Without /proc: relative to the folder in which it was started, which none of our programs leaves.
        return clinux_executable_name().flatMap { realpath(String(systemString: $0)) }
    }
}
