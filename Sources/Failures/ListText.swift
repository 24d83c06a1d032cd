/// Lists in messages, which stay readable however much there is to list.
public enum ListText {
    /// A message names at most this many things.
    public static let limit = 5

    /// The first items, and how many more there are: `a, b, c, d, e and 4 more`.
    ///
    /// - Parameters:
    ///   - separator: what stands between two items.
    ///   - longest: characters of one item; a longer one is cut.
    public static func brief(_ items: some Collection<String>, separator: String = ", ", longest: Int = 120) -> String {
        let shown = items.prefix(limit).map { item in
            item.unicodeScalars.count > longest
                ? String(String.UnicodeScalarView(item.unicodeScalars.prefix(longest))) + "…" : item
        }
        let text = shown.joined(separator: separator)
        return items.count > limit ? "\(text) and \(items.count - limit) more" : text
    }

    /// The first of several lines, and one that counts the others: `and 4 more warnings`.
    public static func brief(lines: [String], of things: String) -> [String] {
        lines.count > limit ? lines.prefix(limit) + ["and \(lines.count - limit) more \(things)"] : lines
    }
}
