/// Which words a shell may be offered.
///
/// A shell puts the word into the line that a person is about to run, and bash's `compgen -W`, which the scripts of older
/// releases use, expands it before: whoever may tag an instance could run programs here. So only words are offered that mean
/// themselves in every shell, unquoted: ASCII letters, digits and a few signs, which neither begin like an option nor contain what
/// separates, quotes, expands or (`:` in zsh, `:`, `=` and `@` in bash) divides words.
enum CompletionWord {
    private static let longest = 256

    static func isSafe(_ word: String) -> Bool {
        guard let first = word.utf8.first, word.utf8.count <= longest else { return false }
        return (isLetterOrDigit(first) || "_./".utf8.contains(first))
            && word.utf8.allSatisfy { isLetterOrDigit($0) || "_.-/+,".utf8.contains($0) }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
