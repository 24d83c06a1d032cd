import CLinux
import Dispatch
import Glibc

/// Readiness of a descriptor, as epoll(7) reports it.
public struct Readiness: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let readable = Readiness(rawValue: EPOLLIN.rawValue)
    public static let writable = Readiness(rawValue: EPOLLOUT.rawValue)
    /// The peer sent its end of file: it half-closed, or closed.
    public static let peerShutDown = Readiness(rawValue: EPOLLRDHUP.rawValue)
    /// Both directions are closed: a reset, or on a Unix socket a peer that is gone.
    public static let hungUp = Readiness(rawValue: EPOLLHUP.rawValue)
    public static let failed = Readiness(rawValue: EPOLLERR.rawValue)
}

/// Whoever owns a registered descriptor.
public protocol ReadinessHandler: AnyObject {
    /// Readiness came, edge-triggered: it is told once, so whoever stops before EAGAIN must remember that, or ask to
    /// be called again with ``Loop/callAgain(_:)``. An empty set is the answer to that request.
    func isReady(_ readiness: Readiness, on loop: isolated Loop)
    /// The loop is about to sleep, or has more to do than memory for it: the answer to ``Loop/tellWhenQuiet(_:)``. What only
    /// traffic needs is to be given back.
    func isQuiet(on loop: isolated Loop)
}

extension ReadinessHandler {
    public func isQuiet(on loop: isolated Loop) {}
}

/// The heart: one serial queue, one readiness set, one heap of deadlines.
///
/// Connections are plain classes confined to a loop; their methods take `on loop: isolated Loop`, so that the
/// compiler holds the rule. The loop's epoll descriptor is the only Dispatch source there is, since a source of its
/// own for each descriptor costs about 22 µs an event. At rest a loop costs nothing.
public actor Loop {
    private let executor: LoopExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public nonisolated let label: String
    private let poll: FileDescriptor
    private let timer: FileDescriptor
    /// Unsafe only in name: Dispatch's sources may be used from any thread, but do not say so to the compiler.
    private nonisolated(unsafe) let source: any DispatchSourceRead

    private var registrations = RegistrationTable()
    private var deadlines = DeadlineHeap()
    private var armedFor: ContinuousClock.Instant?
    private var again: [Registration] = []
    private var soon: [() -> Void] = []
    private var active: [Registration] = []
    private var events = [epoll_event](repeating: epoll_event(), count: Loop.eventsPerTurn)

    /// Buffers that connections of this loop borrow while bytes are in flight.
    public let buffers = BufferPool()

    private static let eventsPerTurn = 256
    /// How long a loop that just had traffic waits for more before it sleeps. A sleep and its wake-up by Dispatch cost more
    /// than a round trip on the local host, and somebody who types presses the next key well within this time. The wait is
    /// in the kernel and costs nothing but a thread.
    private static let linger = Duration.seconds(1)
    /// How many handlers may hold what only traffic needs.
    private static let activeLimit = 64
    private static let wakeUpKey: UInt64 = .max
    private static let timerKey: UInt64 = .max - 1

    /// - Throws: when the process has no descriptors left.
    public init(label: String) throws(SystemError) {
        self.label = label
        executor = try LoopExecutor(label: label)
        let set = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard set >= 0 else { throw SystemError("create an epoll set") }
        poll = FileDescriptor(takingOwnership: set)
        let clock = timerfd_create(CLOCK_BOOTTIME, CInt(TFD_NONBLOCK | TFD_CLOEXEC))
        guard clock >= 0 else { throw SystemError("create a timerfd") }
        timer = FileDescriptor(takingOwnership: clock)
        try Self.add(executor.wakeUp.raw, key: Self.wakeUpKey, events: EPOLLIN.rawValue | EPOLLET.rawValue, to: set)
        try Self.add(clock, key: Self.timerKey, events: EPOLLIN.rawValue | EPOLLET.rawValue, to: set)
        source = DispatchSource.makeReadSource(fileDescriptor: set, queue: executor.queue)
        let source = source
        let poll = poll
        let run: LoopExecutor.Work = { [weak self] in self?.assumeIsolated { $0.run() } }
        executor.setRun(run)
        source.setEventHandler(handler: run)
        // The set is closed only here: a descriptor closed before its source is cancelled may be somebody else's
        // when the source still looks at it. The closure keeps it open until then.
        source.setCancelHandler { poll.close() }
        source.activate()
    }

    deinit { source.cancel() }

    // MARK: Work

    /// Runs `body` on the loop, after what was submitted before. From any thread.
    public nonisolated func submit(_ body: @escaping @Sendable (isolated Loop) -> Void) {
        executor.enqueue { self.assumeIsolated(body) }
    }

    /// Runs `body` on the loop after what is running now: for callbacks that must not come from within the call that
    /// causes them. From the loop itself.
    public func soon(_ body: @escaping () -> Void) { soon.append(body) }

    // MARK: Descriptors

    /// Registers a descriptor, once, for reading and writing. The handler is kept until `deregister`.
    public func register(_ descriptor: FileDescriptor, _ handler: any ReadinessHandler) throws(SystemError)
        -> Registration
    {
        let registration = registrations.insert(handler, descriptor: descriptor.raw)
        let interest = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
        do throws(SystemError) {
            try Self.add(descriptor.raw, key: registration.key, events: interest, to: poll.raw)
        } catch {
            registrations.remove(registration)
            throw error
        }
        return registration
    }

    /// Forgets a descriptor; no call for it comes after this. Before the descriptor is closed or given away.
    public func deregister(_ registration: Registration) {
        guard let descriptor = registrations.remove(registration) else { return }
        // Explicitly, although a close removes it as well: a duplicate in another process would keep it in the set.
        _ = epoll_ctl(poll.raw, EPOLL_CTL_DEL, descriptor, nil)
    }

    /// Calls the handler again in the next turn, after the others had theirs. For whoever stopped before EAGAIN.
    public func callAgain(_ registration: Registration) {
        guard registrations.markAgain(registration) else { return }
        again.append(registration)
    }

    /// Tells the handler once when the loop has become quiet: for memory that is dear to a thousand connections at rest, and
    /// that those with traffic should not ask for at every message. Where too many ask, they are told at once.
    public func tellWhenQuiet(_ registration: Registration) {
        guard registrations.markActive(registration) else { return }
        if active.count == Self.activeLimit { tellActive() }
        active.append(registration)
        if lingersUntil == nil { lingersUntil = now + Self.linger }
    }

    private func tellActive() {
        let listed = active
        active.removeAll(keepingCapacity: true)
        for registration in listed { registrations.takeActive(registration)?.isQuiet(on: self) }
    }

    private func becomeQuiet() {
        lingersUntil = nil
        tellActive()
        buffers.becomeQuiet()
        registrations.giveBackRoom()
        deadlines.giveBackRoom()
        active.giveBackRoom()
        again.giveBackRoom()
        soon.giveBackRoom()
        submitted.giveBackRoom()
        executor.giveBackRoom()
    }

    // MARK: Deadlines

    /// Calls `body` on the loop at `instant`, on a clock that counts sleep.
    ///
    /// - Parameter tolerance: how much later it may be, so that deadlines of many connections share one wake-up.
    public func schedule(
        at instant: ContinuousClock.Instant,
        tolerance: Duration = .zero,
        _ body: @escaping () -> Void
    ) -> Deadline {
        let deadline = deadlines.insert(instant.roundedUp(to: tolerance), body)
        arm()
        return deadline
    }

    public func schedule(
        after timeout: Duration,
        tolerance: Duration = .zero,
        _ body: @escaping () -> Void
    ) -> Deadline {
        schedule(at: .now + timeout, tolerance: tolerance, body)
    }

    /// After this the deadline does not fire, even if its instant has passed.
    public func cancel(_ deadline: Deadline) { deadlines.remove(deadline) }

    // MARK: The turn

    /// What descriptors and deadlines have brought so far: at rest it stands still, which a test can see.
    public private(set) var eventCount: UInt64 = 0
    /// The time, by a clock that counts sleep: when the events of the present turn came, so that not every message asks for it.
    public private(set) var now = ContinuousClock.now
    /// Set from the last traffic on, until the loop is quiet.
    private var lingersUntil: ContinuousClock.Instant?
    private var submitted: [LoopExecutor.Work] = []

    /// Someone waits for the next turn.
    private var hasMore: Bool { !again.isEmpty || !soon.isEmpty }

    /// Takes turns as long as there is something to do or to wait for. All that happens on the loop happens in here.
    private func run() {
        now = .now
        while true {
            work()
            if hasMore {
                look(waiting: .zero)
                continue
            }
            guard let end = lingersUntil else {
                if look(waiting: .zero) == 0, executor.fallAsleep() { return }
                continue
            }
            let rest = now.duration(to: end)
            guard rest > .zero else {
                becomeQuiet()
                continue
            }
            look(waiting: executor.beginWaiting() ? rest : .zero)
        }
    }

    /// What others submitted, and what was put off.
    private func work() {
        executor.takeWork(into: &submitted)
        for body in submitted { body() }
        submitted.removeAll(keepingCapacity: true)
        let bodies = soon
        soon.removeAll(keepingCapacity: true)
        for body in bodies { body() }
        let listed = again
        again.removeAll(keepingCapacity: true)
        for registration in listed {
            guard let handler = registrations.takeAgain(registration) else { continue }
            lingersUntil = now + Self.linger
            handler.isReady([], on: self)
        }
    }

    /// Looks at the readiness set. Only traffic makes lingering worth while: neither deadlines nor others' work prolong it.
    ///
    /// - Returns: how many descriptors had something.
    @discardableResult
    private func look(waiting limit: Duration) -> Int {
        let count = Int(max(0, epoll_wait(poll.raw, &events, CInt(Self.eventsPerTurn), limit.wholeMilliseconds)))
        now = .now
        for index in 0..<count {
            let event = events[index]
            switch event.data.u64 {
            case Self.wakeUpKey: executor.acknowledgeWakeUp()
            case Self.timerKey:
                eventCount &+= 1
                fireDeadlines()
            case let key:
                eventCount &+= 1
                guard let handler = registrations.handler(forKey: key) else { continue }
                lingersUntil = now + Self.linger
                handler.isReady(Readiness(rawValue: event.events), on: self)
            }
        }
        return count
    }

    private func fireDeadlines() {
        var expirations: UInt64 = 0
        _ = read(timer.raw, &expirations, MemoryLayout<UInt64>.size)
        armedFor = nil
        while let body = deadlines.popDue(at: now) { body() }
        arm()
    }

    private func arm() {
        guard let next = deadlines.earliest else { return }
        if let armedFor, armedFor <= next { return }
        armedFor = next
        // timerfd takes zero as "disarm".
        let remaining = max(ContinuousClock.now.duration(to: next), Duration.zero).components
        var setting = itimerspec()
        setting.it_value = timespec(
            tv_sec: Int(remaining.seconds), tv_nsec: Int(remaining.attoseconds / 1_000_000_000))
        if setting.it_value.tv_sec == 0, setting.it_value.tv_nsec == 0 { setting.it_value.tv_nsec = 1 }
        timerfd_settime(timer.raw, 0, &setting, nil)
    }

    private static func add(_ descriptor: CInt, key: UInt64, events: UInt32, to set: CInt) throws(SystemError) {
        var event = epoll_event()
        event.events = events
        event.data.u64 = key
        guard epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event) == 0 else {
            throw SystemError("watch a descriptor")
        }
    }
}

extension Duration {
    /// As epoll_wait(2) takes a time: rounded up, so that a wait does not end before its time.
    var wholeMilliseconds: CInt {
        let (seconds, attoseconds) = components
        return CInt(clamping: seconds * 1_000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}

extension ContinuousClock.Instant {
    /// The next multiple of `grid` since the process began to count, or the instant itself for no grid.
    func roundedUp(to grid: Duration) -> ContinuousClock.Instant {
        guard grid > .zero else { return self }
        let steps = (Loop.epoch.duration(to: self) / grid).rounded(.up)
        return Loop.epoch + grid * steps
    }
}

extension Loop {
    static let epoch = ContinuousClock.now
}
