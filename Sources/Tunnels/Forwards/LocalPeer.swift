import SocketIO

/// Finds out whether a local client that sent its end of file is gone or has only stopped sending: on TCP the two look
/// alike.
enum LocalPeer {
    static func examine(_ socket: StreamSocket) -> TunnelStateMachine.PeerFinding {
        if socket.hungUp { return .gone }
        guard let local = SocketAddress.local(of: socket.descriptor) else { return .gone }
        // The other end of a Unix socket would have hung up.
        guard local.family != .unix else { return .halfClosed }
        guard let peer = SocketAddress.peer(of: socket.descriptor) else { return .gone }
        // Only of this host can the kernel tell; a client elsewhere gets the benefit of the doubt.
        guard peer.isLoopback || peer.ipBytes == local.ipBytes else { return .halfClosed }
        do {
            let entry = try PeerOwner.ofPeer(of: socket.descriptor)
            return entry?.isHeld == true ? .halfClosed : .gone
        } catch {
            // The kernel could not be asked (a sandbox without netlink). The drain timeout ends what was a close.
            return .halfClosed
        }
    }
}
