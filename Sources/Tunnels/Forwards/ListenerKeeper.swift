import SocketIO

/// Keeps listening sockets beyond this process, so that no connection is refused while another takes its place. Confined to
/// the control loop.
public protocol ListenerKeeper: AnyObject {
    /// What was kept or passed for a forward; asked once for each. Ownership comes with it.
    func claim(_ forward: String) -> InheritedListeners?
    /// Keeps duplicates by the forward's name until ``forget(_:)``.
    func keep(_ listeners: [FileDescriptor], of forward: String)
    func forget(_ forward: String)
}

/// Listening sockets that were there before this process.
public struct InheritedListeners {
    public var descriptors: [FileDescriptor]
    /// The service manager listens by itself (a `.socket` unit): where is its decision, and it keeps them without being asked.
    public var isManaged: Bool

    public init(_ descriptors: [FileDescriptor], isManaged: Bool) {
        self.descriptors = descriptors
        self.isManaged = isManaged
    }
}
