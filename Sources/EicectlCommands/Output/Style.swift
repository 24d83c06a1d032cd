import EicectlProxy
import Glibc

/// How text is set off: on a terminal alone, and not where NO_COLOR (no-color.org) says otherwise.
struct Style: Equatable, Sendable {
    var colour: Bool

    static let plain = Style(colour: false)

    static func ofStdout() -> Style {
        Style(colour: wantsColour(isTerminal: isatty(STDOUT_FILENO) == 1, environment: environmentVariable))
    }

    static func wantsColour(isTerminal: Bool, environment: (String) -> String?) -> Bool {
        guard isTerminal, environment("TERM") != "dumb" else { return false }
        return environment("NO_COLOR").map(\.isEmpty) ?? true
    }

    func heading(_ text: String) -> String { colour ? "\u{1B}[1m\(text)\u{1B}[0m" : text }
    func bad(_ text: String) -> String { colour ? "\u{1B}[31m\(text)\u{1B}[0m" : text }
    func weak(_ text: String) -> String { colour ? "\u{1B}[2m\(text)\u{1B}[0m" : text }
}
