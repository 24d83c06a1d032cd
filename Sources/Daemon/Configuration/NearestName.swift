/// The right name for a mistyped one.
enum NearestName {
    /// The name of `names` that is nearest to `text`: the same but for case and for `-` and `_`, or with few changes of
    /// single letters (insert, remove, replace, swap two neighbours), or the only one that begins so. Nil where none is near.
    static func of(_ text: String, among names: [String]) -> String? {
        let plain = folded(text)
        let allowed = max(1, plain.count / 3)
        // Nobody types so long a name by mistake, and the comparison takes the product of both lengths.
        guard plain.count <= 64 else { return nil }
        let nearest = names.map { (name: $0, distance: distance(plain, folded($0))) }.min { $0.distance < $1.distance }
        if let nearest, nearest.distance <= allowed { return nearest.name }
        let begun = names.filter { folded($0).starts(with: plain) }
        return plain.count > 2 && begun.count == 1 ? begun.first : nil
    }

    private static func folded(_ text: String) -> [UInt8] {
        text.lowercased().utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }
    }

    /// The optimal string alignment distance.
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var beforePrevious: [Int] = []
        var previous = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var best = min(previous[j] + (a[i] == b[j] ? 0 : 1), previous[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, beforePrevious[j - 1] + 1) }
                row.append(best)
            }
            (beforePrevious, previous) = (previous, row)
        }
        return previous[b.count]
    }
}
