import Bounds
import CLinux
import Glibc
import Synchronization

/// Names to addresses by the system's resolver. One look-up per name at a time, however many ask; answers are kept
/// for at most 60 seconds. Names that hang leave threads for others: see ``LookUpShares``.
public final class Resolver: Sendable {
    public typealias Answer = Result<[SocketAddress], ResolveError>

    private struct Entry {
        var waiters: [@Sendable (Answer) -> Void]
    }

    private struct Known {
        var addresses: [SocketAddress] = []
        /// Until when the addresses serve.
        var until: ContinuousClock.Instant
        var standing: LookUpShares.Standing
    }

    private struct State {
        var running: [String: Entry] = [:]
        var known = Recent<String, Known>()
        var shares: LookUpShares
    }

    /// How long an answer is used again.
    public static let timeToLive = Duration.seconds(60)

    private let state: Mutex<State>
    private let pool: BlockingPool
    private let ask: @Sendable (String) -> Answer
    private let now: @Sendable () -> ContinuousClock.Instant

    public convenience init(pool: BlockingPool = .names) {
        self.init(pool: pool, now: { .now }, asking: Self.getAddresses)
    }

    /// - Parameter ask: may block.
    init(
        pool: BlockingPool = .names, now: @escaping @Sendable () -> ContinuousClock.Instant,
        asking ask: @escaping @Sendable (String) -> Answer
    ) {
        self.pool = pool
        self.now = now
        self.ask = ask
        state = Mutex(State(shares: LookUpShares(threads: pool.limit)))
    }

    /// Looks up a host name, or takes an IP address as it stands. `completion` comes on any thread, once, or never if
    /// the system's resolver hangs: the caller has a deadline of its own.
    public func resolve(_ host: String, port: UInt16, completion: @escaping @Sendable (Answer) -> Void) {
        if let address = SocketAddress(ip: host, port: port) {
            completion(.success([address]))
            return
        }
        let deliver: @Sendable (Answer) -> Void = { answer in
            completion(answer.map { $0.map { $0.with(port: port) } })
        }
        enum Step {
            case answered([SocketAddress])
            case joined, start
        }
        let step = state.withLock { state -> Step in
            let instant = now()
            if let known = state.known.use(host, at: instant), known.until > instant {
                return .answered(known.addresses)
            }
            if state.running[host] != nil {
                state.running[host]?.waiters.append(deliver)
                return .joined
            }
            state.running[host] = Entry(waiters: [deliver])
            return .start
        }
        switch step {
        case .answered(let addresses): deliver(.success(addresses))
        case .joined: break
        case .start: start(host)
        }
    }

    /// Looks up a name anew whose answer will not live for `margin`, while it still serves. A name that nobody has asked for lately is
    /// left alone.
    public func renew(_ host: String, leaving margin: Duration) {
        let isDue = state.withLock { state in
            // What is known of a name is kept for longer than its answer serves.
            guard let known = state.known.peek(host), !known.addresses.isEmpty, known.until - now() <= margin,
                state.running[host] == nil
            else { return false }
            state.running[host] = Entry(waiters: [])
            return true
        }
        if isDue { start(host) }
    }

    /// Drops what is known of a name: after a connect that failed, or a change of route.
    public func forget(_ host: String) {
        let instant = now()
        state.withLock { state in
            guard var known = state.known.peek(host) else { return }
            (known.addresses, known.until) = ([], instant)
            state.known.set(known, for: host, at: instant)
        }
    }

    /// Drops all that is known.
    public func forgetAll() {
        state.withLock { $0.known.removeAll() }
    }

    private func start(_ host: String) {
        let standing = state.withLock { state in
            let standing = state.known.peek(host)?.standing ?? .unknown
            return state.shares.enter(host, standing) ? standing : nil
        }
        if let standing { pool.run { self.lookUp(host, standing) } }
    }

    private func lookUp(_ host: String, _ standing: LookUpShares.Standing) {
        let began = now()
        let answer = ask(host)
        let instant = now()
        let (waiters, next) = state.withLock { state in
            let isSoon = instant - began < LookUpShares.soon
            switch answer {
            case .success(let addresses):
                state.known.set(
                    Known(addresses: addresses, until: instant + Self.timeToLive, standing: isSoon ? .answers : .hangs),
                    for: host, at: instant)
            case .failure where !isSoon:
                // Addresses that still serve stay.
                var known = state.known.peek(host) ?? Known(until: instant, standing: .hangs)
                known.standing = .hangs
                state.known.set(known, for: host, at: instant)
            case .failure: break
            }
            return (state.running.removeValue(forKey: host)?.waiters ?? [], state.shares.left(standing))
        }
        for (name, standing) in next { pool.run { self.lookUp(name, standing) } }
        for waiter in waiters { waiter(answer) }
    }

    @Sendable private static func getAddresses(_ host: String) -> Answer {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        // Families that this host has no address of are left out.
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else {
            let reason = code == EAI_SYSTEM ? SystemError("resolve").reason : String(cString: gai_strerror(code))
            return .failure(ResolveError(host: host, reason: reason.prefix(1).lowercased() + reason.dropFirst()))
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next {
            if let raw = entry.pointee.ai_addr, let address = SocketAddress(raw, length: entry.pointee.ai_addrlen),
                !addresses.contains(address)
            {
                addresses.append(address)
            }
            next = entry.pointee.ai_next
        }
        return addresses.isEmpty
            ? .failure(ResolveError(host: host, reason: "the name has no address")) : .success(addresses)
    }
}

/// A name that could not be resolved, in the resolver's own words.
public struct ResolveError: Error, Hashable, Sendable {
    public let host: String
    public let reason: String
}
