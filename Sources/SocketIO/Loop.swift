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
    private var events = [epoll_event](repeating: epoll_event(), count: Loop.eventsPerTurn)

    /// Buffers that connections of this loop borrow while bytes are in flight.
    public let buffers = BufferPool()

    private static let eventsPerTurn = 256
    /// How long a loop that just had traffic waits for more before it sleeps: a sleep and its wake-up by Dispatch cost
    /// more than a round trip on the local host.
    private static let linger: CInt = 1
    /// Turns that one call of the source's handler may take before other work of the queue gets its chance.
    private static let turnsPerCall = 64

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
        source.setEventHandler { [weak self] in self?.assumeIsolated { $0.run() } }
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
    public func soon(_ body: @escaping () -> Void) {
        soon.append(body)
        if !isRunning { scheduleRun() }
    }

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
        // Within `run` the list is looked at anyway; called from other work, the loop has to be started.
        if !isRunning { scheduleRun() }
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

    /// Looks at the readiness set so far: at rest it stands still, which a test and `status` can see.
    public private(set) var turnCount: UInt64 = 0
    private var isRunning = false
    private var runIsScheduled = false

    /// Someone waits for the next turn.
    private var hasMore: Bool { !again.isEmpty || !soon.isEmpty }

    private func scheduleRun() {
        guard !runIsScheduled else { return }
        runIsScheduled = true
        submit { loop in
            loop.runIsScheduled = false
            loop.run()
        }
    }

    private func run() {
        isRunning = true
        defer {
            isRunning = false
            // No new edge will come for those on the list.
            if hasMore { scheduleRun() }
        }
        for _ in 0..<Self.turnsPerCall {
            let hadWork = turn(waiting: 0)
            if hadWork || hasMore {
                if executor.hasPendingWork { return }
                continue
            }
            guard executor.beginLingering() else { return }
            let gotWork = turn(waiting: Self.linger)
            executor.endLingering()
            if !gotWork || executor.hasPendingWork { return }
        }
        // The epoll descriptor is still readable if there is more: Dispatch calls again after other work.
    }

    /// - Returns: whether a descriptor had something: only traffic makes lingering worth while.
    private func turn(waiting: CInt) -> Bool {
        turnCount &+= 1
        let bodies = soon
        soon.removeAll(keepingCapacity: true)
        for body in bodies { body() }
        let listed = again
        again.removeAll(keepingCapacity: true)
        for registration in listed {
            guard let handler = registrations.takeAgain(registration) else { continue }
            handler.isReady([], on: self)
        }
        let count = epoll_wait(poll.raw, &events, CInt(Self.eventsPerTurn), hasMore ? 0 : waiting)
        guard count > 0 else { return !listed.isEmpty }
        var traffic = !listed.isEmpty
        for index in 0..<Int(count) {
            let event = events[index]
            switch event.data.u64 {
            case Self.wakeUpKey: executor.acknowledgeWakeUp()
            case Self.timerKey: fireDeadlines()
            case let key:
                guard let handler = registrations.handler(forKey: key) else { continue }
                traffic = true
                handler.isReady(Readiness(rawValue: event.events), on: self)
            }
        }
        return traffic
    }

    private func fireDeadlines() {
        var expirations: UInt64 = 0
        _ = read(timer.raw, &expirations, MemoryLayout<UInt64>.size)
        armedFor = nil
        while let body = deadlines.popDue(at: .now) { body() }
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

extension ContinuousClock.Instant {
    /// The next multiple of `grid` since the process began to count, or the instant itself for no grid.
    fileprivate func roundedUp(to grid: Duration) -> ContinuousClock.Instant {
        guard grid > .zero else { return self }
        let steps = (Loop.epoch.duration(to: self) / grid).rounded(.up)
        return Loop.epoch + grid * steps
    }
}

extension Loop {
    fileprivate static let epoch = ContinuousClock.now
}
