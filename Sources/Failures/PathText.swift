/// Paths as AWS's variables and files write them.
public enum PathText {
    /// Expands `$NAME` and `${NAME}`, then a leading `~`, as botocore does (`os.path.expandvars`, `os.path.expanduser`). An
    /// unknown name stays as it is, and so does `~` without a home.
    ///
    /// - Parameters:
    ///   - home: the folder that `~` means; asked for only when the path begins with `~`.
    ///   - variable: the value of a variable, which may be empty; nil if it is not set.
    public static func expand(
        _ path: String, home: @autoclosure () -> String?, variable: (String) -> String?
    ) -> String {
        let text = path.utf8.contains(UInt8(ascii: "$")) ? expandVariables(path, variable) : path
        guard text == "~" || text.utf8.starts(with: "~/".utf8), let home = home() else { return text }
        return home + text.dropFirst()
    }

    private static func expandVariables(_ path: String, _ variable: (String) -> String?) -> String {
        let bytes = Array(path.utf8)
        // Looked for once: each `${` of a long text without one would read the rest of it.
        let lastBrace = bytes.lastIndex(of: UInt8(ascii: "}")) ?? -1
        var result: [UInt8] = []
        var position = 0
        while position < bytes.count {
            guard bytes[position] == UInt8(ascii: "$") else {
                result.append(bytes[position])
                position += 1
                continue
            }
            let (name, end) = name(in: bytes, after: position + 1, lastBrace: lastBrace)
            if !name.isEmpty, let value = variable(String(decoding: name, as: UTF8.self)) {
                result += value.utf8
            } else {
                result += bytes[position..<end]
            }
            position = end
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The name after a dollar sign, and where it ends.
    private static func name(
        in bytes: [UInt8], after start: Int, lastBrace: Int
    ) -> (name: ArraySlice<UInt8>, end: Int) {
        let rest = bytes[start...]
        if rest.first == UInt8(ascii: "{"), start < lastBrace, let close = rest.firstIndex(of: UInt8(ascii: "}")) {
            return (bytes[(start + 1)..<close], close + 1)
        }
        let name = rest.prefix { byte in
            switch byte {
            case UInt8(ascii: "_"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"):
                true
            default: false
            }
        }
        return (name, name.endIndex)
    }
}
