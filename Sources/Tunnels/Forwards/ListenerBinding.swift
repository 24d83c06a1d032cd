import CLinux
import Failures
import Glibc
import SocketIO

/// The listening sockets of one forward, bound at once or not at all.
final class ListenerBinding {
    let descriptors: [FileDescriptor]
    let addresses: [SocketAddress]
    /// Whether the service manager listens by itself, and this is its socket.
    let isManaged: Bool
    /// A Unix socket of ours, removed at the end.
    private var path: String?
    private let file: FileIdentity?
    /// Whose Unix socket this one shares, until it takes it over.
    private var predecessor: ListenerBinding?

    private init(_ descriptors: [FileDescriptor], path: String?, isManaged: Bool = false) {
        self.descriptors = descriptors
        self.path = path
        self.isManaged = isManaged
        file = path.flatMap { FileIdentity(of: $0) }
        addresses = descriptors.compactMap { SocketAddress.local(of: $0) }
    }

    /// Shares the Unix socket of `old`, whose file stays the old one's for now.
    private init(sharing descriptor: FileDescriptor, of old: ListenerBinding) {
        descriptors = [descriptor]
        addresses = old.addresses
        isManaged = old.isManaged
        file = old.file
        predecessor = old
    }

    /// The file of a Unix socket that was shared is this one's from now on.
    func takeOver() {
        guard let old = predecessor else { return }
        (path, old.path, predecessor) = (old.path, nil, nil)
    }

    /// Times that a port chosen by the kernel for one family may be taken in the other.
    private static let portAttempts = 16

    /// Binds and listens.
    ///
    /// - Parameters:
    ///   - bindAddress: nil for 127.0.0.1 and, where the host has IPv6, [::1] with the same port.
    ///   - old: bindings that this one takes the place of: an address of theirs that it has too keeps its socket.
    /// - Throws: ``Failure`` of kind `cannotListen`, with the address and the reason; nothing stays bound.
    static func bind(
        _ local: ForwardSpecification.Local, bindAddress: String?, inPlaceOf old: [ListenerBinding] = []
    ) throws(Failure) -> ListenerBinding {
        switch local {
        case .path(let path): return try bind(path: path, inPlaceOf: old)
        case .port(let port):
            if let bindAddress {
                guard let address = SocketAddress(ip: bindAddress, port: port) else {
                    throw Failure(
                        .cannotListen, "cannot listen on \(bindAddress)", why: "it is no IP address",
                        hint: "give an address of this host, such as 127.0.0.1")
                }
                return ListenerBinding([try listen(address, inPlaceOf: old)], path: nil)
            }
            return try bindLoopback(port: port, inPlaceOf: old)
        }
    }

    private static func bindLoopback(
        port: UInt16, inPlaceOf old: [ListenerBinding]
    ) throws(Failure) -> ListenerBinding {
        var attempt = 1
        while true {
            let v4 = try listen(loopback("127.0.0.1", port), inPlaceOf: old)
            guard let chosen = SocketAddress.local(of: v4)?.port else {
                throw Failure(.internal, "cannot read back a listener's port")
            }
            do throws(SystemError) {
                return ListenerBinding([v4, try socket(at: loopback("::1", chosen), inPlaceOf: old)], path: nil)
            } catch {
                switch error.code {
                // This host has no IPv6, or none on its loopback interface.
                case EAFNOSUPPORT, EADDRNOTAVAIL: return ListenerBinding([v4], path: nil)
                case EADDRINUSE where port == 0 && attempt < portAttempts:
                    attempt += 1
                    v4.close()
                default:
                    v4.close()
                    throw failure(loopback("::1", chosen), error)
                }
            }
        }
    }

    /// - Parameter ip: one of the two literals of this file, never input: that it parses is a fact of the program.
    private static func loopback(_ ip: String, _ port: UInt16) -> SocketAddress {
        guard let address = SocketAddress(ip: ip, port: port) else { preconditionFailure("a literal address") }
        return address
    }

    private static func listen(
        _ address: SocketAddress, inPlaceOf old: [ListenerBinding] = []
    ) throws(Failure) -> FileDescriptor {
        do throws(SystemError) {
            return try socket(at: address, inPlaceOf: old)
        } catch {
            throw failure(address, error)
        }
    }

    /// Two sockets cannot listen on one address, so a binding that changes shares the one that is there.
    private static func socket(
        at address: SocketAddress, inPlaceOf old: [ListenerBinding]
    ) throws(SystemError) -> FileDescriptor {
        for descriptor in old.flatMap(\.descriptors) where SocketAddress.local(of: descriptor) == address {
            return try descriptor.duplicate()
        }
        let sharing = old.flatMap(\.descriptors).filter { SocketAddress.local(of: $0)?.excludes(address) ?? false }
        return try Listener.bind(to: address, besides: sharing)
    }

    private static func failure(_ address: SocketAddress, _ error: SystemError) -> Failure {
        let hint: String? =
            switch error.code {
            case EADDRINUSE where address.family == .unix: "another program listens there: choose another path"
            case EADDRINUSE: "choose another port, or 0 for any free one; ss -ltnp shows who has this one"
            case EROFS: "a service's sandbox protects this folder: choose one in $XDG_RUNTIME_DIR/eiced"
            case EACCES: "ports below 1024 need privileges: choose a higher one"
            case EADDRNOTAVAIL: "give an address of this host"
            default: nil
            }
        return Failure(.cannotListen, "cannot listen on \(address)", why: error.reason, hint: hint)
    }

    // MARK: Unix sockets

    private static func bind(path: String, inPlaceOf old: [ListenerBinding]) throws(Failure) -> ListenerBinding {
        guard path.hasPrefix("/") else {
            throw Failure(.cannotListen, "cannot listen on \(path)", why: "the path of a socket must be absolute")
        }
        guard let address = SocketAddress(unixPath: path) else {
            throw Failure(
                .cannotListen, "cannot listen on \(path)",
                why: "the path of a socket has at most \(SocketAddress.longestUnixPath) bytes")
        }
        if let sharing = old.first(where: { $0.ownsFile(path) }), let descriptor = sharing.descriptors.first {
            do throws(SystemError) {
                return ListenerBinding(sharing: try descriptor.duplicate(), of: sharing)
            } catch {
                throw failure(address, error)
            }
        }
        try checkFolder(of: path)
        try removeStaleSocket(at: address)
        return ListenerBinding([try listen(address)], path: path)
    }

    /// As with the control socket: who can write to the folder could take the forward's place.
    private static func checkFolder(of path: String) throws(Failure) {
        do throws(SocketFolder.Flaw) {
            try SocketFolder.check(SocketFolder.of(path))
        } catch {
            switch error {
            case .missing, .noFolder: throw Failure(.cannotListen, "cannot listen on \(path)", why: error.reason)
            case .foreignLink, .shared:
                throw Failure(
                    .cannotListen, "will not put a forward's socket into \(SocketFolder.of(path))", why: error.reason,
                    hint: "choose a folder of your own, such as $XDG_RUNTIME_DIR/eiced")
            }
        }
    }

    /// A socket of ours that nobody listens on is a leftover of a daemon that could not clean up.
    private static func removeStaleSocket(at address: SocketAddress) throws(Failure) {
        var information = stat()
        guard lstat(address.host, &information) == 0 else { return }
        guard information.st_mode & S_IFMT == S_IFSOCK, information.st_uid == getuid() else {
            throw Failure(
                .cannotListen, "cannot listen on \(address)", why: "there is something else at this path",
                hint: "remove it, or choose another path")
        }
        guard let probe = try? FileDescriptor.socket(AF_UNIX) else { return }
        defer { probe.close() }
        let connected = address.withSockaddr { connect(probe.raw, $0, $1) } == 0
        if !connected, errno == ECONNREFUSED { unlink(address.host) }
    }

    // MARK: Sockets of the service manager

    /// Takes sockets over that the service manager listens on.
    ///
    /// - Throws: when one is no listening stream socket, or other hosts can reach it and the forward does not allow that.
    static func adopting(
        _ descriptors: [FileDescriptor], for specification: ForwardSpecification
    ) throws(Failure) -> ListenerBinding {
        for descriptor in descriptors {
            let address = SocketAddress.local(of: descriptor)
            func refusal(_ why: String, _ hint: String) -> Failure {
                Failure(
                    .cannotListen,
                    "cannot use the socket that the service manager passed for the forward \(specification.name)",
                    why: why, hint: hint)
            }
            guard let address, Listener.isListening(descriptor) else {
                throw refusal(
                    "it is no listening stream socket", "give its .socket unit a ListenStream= and no Accept=yes")
            }
            guard address.isLoopback || specification.allowsRemoteClients else {
                throw refusal(
                    "other hosts can reach \(address)",
                    "give the .socket unit a loopback address, or the forward allow_remote = true")
            }
        }
        return ListenerBinding(descriptors, path: nil, isManaged: true)
    }

    /// Sockets that an earlier process listened on, for another binding to take the place of.
    convenience init(inherited descriptors: [FileDescriptor]) {
        let unix = descriptors.lazy.compactMap { SocketAddress.local(of: $0) }.first { $0.family == .unix }
        self.init(descriptors, path: unix?.host)
    }

    // MARK: The end

    /// Closes what no listener took over, and leaves a Unix socket's file where it is: somebody else goes on listening.
    func letGo() {
        for descriptor in descriptors { descriptor.close() }
    }

    /// Closes what no listener took over, and removes the Unix socket.
    func close() {
        for descriptor in descriptors { descriptor.close() }
        if let path, ownsFile(path) { unlink(path) }
    }

    /// Whether our socket is still what stands at `path`: somebody else may have replaced it.
    private func ownsFile(_ path: String) -> Bool { self.path == path && file != nil && FileIdentity(of: path) == file }

    /// Which file a path leads to.
    private struct FileIdentity: Equatable {
        let device: dev_t
        let inode: ino_t

        init?(of path: String) {
            var information = stat()
            guard lstat(path, &information) == 0 else { return nil }
            device = information.st_dev
            inode = information.st_ino
        }
    }
}
