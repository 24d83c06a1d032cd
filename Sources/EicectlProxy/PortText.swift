/// A port as people write it.
public enum PortText {
    /// Decimal digits alone: no sign, no blank.
    public static func parse(_ text: some StringProtocol) -> UInt16? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            return nil
        }
        return UInt16(text)
    }
}
