import CLinux
import Glibc

/// Connects to the first of several addresses that answers ("happy eyeballs", RFC 8305): families take turns, the next
/// address is tried 250 ms after the one before it, or at once when that one failed.
///
/// Has no deadline of its own: whoever started it cancels it.
public final class Connector {
    /// RFC 8305, section 8: Connection Attempt Delay.
    private static let attemptDelay = Duration.milliseconds(250)

    private var remaining: ArraySlice<SocketAddress>
    private var attempts: [Attempt] = []
    private var nextAttempt: Deadline?
    private var firstError: (SocketAddress, SystemError)?
    private var completion: ((Result<(FileDescriptor, SocketAddress), ConnectError>) -> Void)?

    /// Begins at once.
    ///
    /// - Parameters:
    ///   - addresses: in the order the resolver gave them (RFC 6724); at least one.
    ///   - completion: called on the loop, once, not before this returns, unless `cancel` comes first.
    public init(
        to addresses: [SocketAddress],
        on loop: isolated Loop,
        completion: @escaping (Result<(FileDescriptor, SocketAddress), ConnectError>) -> Void
    ) {
        remaining = Self.interleaved(addresses)[...]
        self.completion = completion
        // Not from within the initializer: a connect to a local address can fail at once.
        loop.soon { [weak self] in
            guard let self, self.completion != nil else { return }
            tryNext(on: loop)
        }
    }

    /// Gives up; the completion is not called.
    public func cancel(on loop: isolated Loop) {
        completion = nil
        cleanUp(on: loop)
    }

    /// The same addresses with the families taking turns, beginning with the first one's (RFC 8305, section 4).
    static func interleaved(_ addresses: [SocketAddress]) -> [SocketAddress] {
        guard let first = addresses.first else { return [] }
        let preferred = addresses.filter { $0.family == first.family }
        let others = addresses.filter { $0.family != first.family }
        var result: [SocketAddress] = []
        for index in 0..<max(preferred.count, others.count) {
            if index < preferred.count { result.append(preferred[index]) }
            if index < others.count { result.append(others[index]) }
        }
        return result
    }

    private func tryNext(on loop: isolated Loop) {
        nextAttempt = nil
        guard let address = remaining.popFirst() else {
            finishIfNothingIsLeft(on: loop)
            return
        }
        do throws(SystemError) {
            let descriptor = try FileDescriptor.socket(address.domain)
            descriptor.setNoDelay()
            let started = address.withSockaddr { connect(descriptor.raw, $0, $1) } == 0
            if !started, errno != EINPROGRESS { throw SystemError("connect") }
            attempts.append(try Attempt(descriptor, address, self, on: loop))
        } catch {
            note(error, for: address)
            tryNext(on: loop)
            return
        }
        if !remaining.isEmpty {
            nextAttempt = loop.schedule(after: Self.attemptDelay) { [weak self] in self?.tryNext(on: loop) }
        }
    }

    fileprivate func ended(_ attempt: Attempt, on loop: isolated Loop) {
        attempts.removeAll { $0 === attempt }
        let descriptor = attempt.detach(on: loop)
        if let error = StreamSocket.pendingError(of: descriptor, "connect") {
            descriptor.close()
            note(error, for: attempt.address)
            if let nextAttempt { loop.cancel(nextAttempt) }
            tryNext(on: loop)
            return
        }
        finish(.success((descriptor, attempt.address)), on: loop)
    }

    private func note(_ error: SystemError, for address: SocketAddress) {
        if firstError == nil { firstError = (address, error) }
    }

    private func finishIfNothingIsLeft(on loop: isolated Loop) {
        guard attempts.isEmpty, let (address, error) = firstError else { return }
        finish(.failure(ConnectError(address: address, error: error)), on: loop)
    }

    private func finish(_ result: Result<(FileDescriptor, SocketAddress), ConnectError>, on loop: isolated Loop) {
        cleanUp(on: loop)
        let completion = completion
        self.completion = nil
        completion?(result)
    }

    private func cleanUp(on loop: isolated Loop) {
        if let nextAttempt { loop.cancel(nextAttempt) }
        nextAttempt = nil
        remaining = []
        for attempt in attempts { attempt.detach(on: loop).close() }
        attempts = []
    }
}

/// Why no address could be connected: the first one's error, since later ones are often only "no route" of a family
/// that the host does not have.
public struct ConnectError: Error, Hashable, Sendable {
    public let address: SocketAddress
    public let error: SystemError
}

/// One connect(2) under way.
private final class Attempt: ReadinessHandler {
    let address: SocketAddress
    private let descriptor: FileDescriptor
    private weak var connector: Connector?
    private var registration: Registration?

    init(_ descriptor: FileDescriptor, _ address: SocketAddress, _ connector: Connector, on loop: isolated Loop)
        throws(SystemError)
    {
        self.descriptor = descriptor
        self.address = address
        self.connector = connector
        registration = try loop.register(descriptor, self)
    }

    func isReady(_ readiness: Readiness, on loop: isolated Loop) {
        guard !readiness.isDisjoint(with: [.writable, .failed, .hungUp]) else { return }
        connector?.ended(self, on: loop)
    }

    func detach(on loop: isolated Loop) -> FileDescriptor {
        if let registration { loop.deregister(registration) }
        registration = nil
        return descriptor
    }
}
