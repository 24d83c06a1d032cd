import Descriptors
import Glibc

/// The user's own ssh_config, and the one line in it that is ours. Pure.
struct SSHConfigInclude {
    /// The user's home, with no slash at its end.
    let home: String
    /// The name of our file in `~/.ssh`.
    let name: String

    /// The path of our file.
    var path: String { "\(home)/.ssh/\(name)" }

    private var lines: String { "# Added by eicectl ssh-config --install\nInclude ~/.ssh/\(name)\n\n" }

    /// `text` with our file included, or nil where it is already. The line comes first: below a `Host` or `Match` it would
    /// count for that host alone. Not a byte of what stands there is changed.
    func added(to text: [UInt8]) -> [UInt8]? {
        includes(text) ? nil : Array(lines.utf8) + text
    }

    /// Whether our file is included for every host.
    private func includes(_ text: [UInt8]) -> Bool {
        for line in text.split(separator: UInt8(ascii: "\n")) {
            var words = Self.words(String(systemBytes: line))
            guard !words.isEmpty else { continue }
            switch words.removeFirst().lowercased() {
            case "include": if words.contains(where: matches) { return true }
            case "host", "match": return false
            default: break
            }
        }
        return false
    }

    /// As ssh_config(5) resolves a name: `~` is the home, what is not absolute is below `~/.ssh`, and wildcards count.
    private func matches(_ pattern: String) -> Bool {
        let absolute =
            if pattern.hasPrefix("~/") {
                home + pattern.dropFirst(1)
            } else if pattern.hasPrefix("/") {
                pattern
            } else {
                "\(home)/.ssh/\(pattern)"
            }
        return fnmatch(absolute, path, FNM_PATHNAME | FNM_PERIOD) == 0
    }

    /// The keyword and its arguments: separated by blanks, after the keyword also by one `=`; quotes hold blanks together.
    /// Nothing for an empty line or a comment.
    private static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word = ""
        var isQuoted = false
        var hasWord = false
        var mayHaveEqualsSign = true
        for character in line {
            switch character {
            case "\"":
                isQuoted.toggle()
                hasWord = true
            case " ", "\t", "\r":
                if isQuoted {
                    word.append(character)
                } else if hasWord {
                    words.append(word)
                    (word, hasWord) = ("", false)
                }
            case "=" where mayHaveEqualsSign && !isQuoted && (words.count == 1 || words.isEmpty && hasWord):
                mayHaveEqualsSign = false
                if hasWord { words.append(word) }
                (word, hasWord) = ("", false)
            case "#" where !isQuoted && !hasWord: return words
            default:
                // A second word's own equals sign is part of it.
                if words.count == 1 { mayHaveEqualsSign = false }
                word.append(character)
                hasWord = true
            }
        }
        return hasWord ? words + [word] : words
    }
}
