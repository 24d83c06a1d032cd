extension String {
    /// Without the white space at both ends, by Unicode's property of scalars.
    public func trimmingWhitespace() -> String {
        let scalars = unicodeScalars.drop { $0.properties.isWhitespace }
        return String(Substring(scalars)).trimmingTrailingWhitespace()
    }

    /// Without the white space at its end.
    public func trimmingTrailingWhitespace() -> String {
        // By index: to drop the last scalar of a slice takes time in proportion to the slice.
        let scalars = unicodeScalars
        var end = scalars.endIndex
        while end > scalars.startIndex {
            let before = scalars.index(before: end)
            guard scalars[before].properties.isWhitespace else { break }
            end = before
        }
        return String(scalars[..<end])
    }
}
