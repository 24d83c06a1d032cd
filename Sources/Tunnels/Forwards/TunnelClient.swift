import Failures
import SocketIO

/// Who asked for a tunnel, where that is more than a listener. On the control loop.
public protocol TunnelClient: AnyObject {
    /// The tunnel is open: gives the local side away. Nil when there is none any more.
    func tunnelOpened(_ handle: TunnelHandle, on loop: isolated Loop) -> LocalStream?
    /// The tunnel ended before it was open.
    func tunnelFailed(_ reason: CloseReason, on loop: isolated Loop)
    /// The tunnel waits until a person has logged in; the failure says what to run.
    func tunnelNeedsLogin(_ failure: Failure, on loop: isolated Loop)
}

extension TunnelClient {
    public func tunnelNeedsLogin(_ failure: Failure, on loop: isolated Loop) {}
}

/// The local side of a tunnel.
public struct LocalStream {
    public let descriptor: FileDescriptor
    /// What the client sent already.
    public let received: [UInt8]
    /// What the client must get before the target's first byte.
    public let greeting: [UInt8]
    /// Whether it was accepted on a TCP port: there a web page can make the user's browser connect.
    let isFromPort: Bool

    public init(_ descriptor: FileDescriptor, received: [UInt8] = [], greeting: [UInt8] = []) {
        self.init(descriptor, received: received, greeting: greeting, isFromPort: false)
    }

    init(_ descriptor: FileDescriptor, received: [UInt8] = [], greeting: [UInt8] = [], isFromPort: Bool) {
        self.isFromPort = isFromPort
        self.descriptor = descriptor
        self.received = received
        self.greeting = greeting
    }
}
