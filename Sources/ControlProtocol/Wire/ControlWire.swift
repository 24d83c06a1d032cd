/// One JSON object, one newline: the limits of a line. How values become lines is ControlCodec's.
public enum ControlWire {
    /// The most bytes that a request's line may have, its newline not counted.
    public static let maximumLineLength = 1 << 20
    /// The most bytes that a client takes for a line: five thousand tunnels do not fit into a mebibyte.
    public static let maximumReplyLength = 64 << 20
    package static let newline = UInt8(ascii: "\n")
}
