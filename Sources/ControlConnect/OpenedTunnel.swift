import Descriptors

/// A tunnel that `connect` opened.
public struct OpenedTunnel {
    /// Its bytes, and nothing but them; it belongs to the caller.
    public let stream: FileDescriptor
    /// The daemon's answer as it came, without its newline: on the way to an open tunnel there is no time to decode it.
    package let answer: [UInt8]
}
