import SocketIO
import Synchronization

/// Feeds the service manager's watchdog while every loop answers. Confined to the control loop.
///
/// Twice in each interval every loop is asked once; whichever answers last feeds. So at rest a loop wakes up once in half an
/// interval, and a single one that hangs is enough for the service manager to act.
final class Watchdog {
    private let pause: Duration
    private let relays: [Loop]
    private let feed: @Sendable () -> Void
    private var round: WatchdogRound
    private var next: Deadline?

    /// - Parameters:
    ///   - interval: how long the service manager waits for a sign of life.
    ///   - feed: gives it one. From any thread.
    init(interval: Duration, relays: [Loop], on loop: isolated Loop, feed: @escaping @Sendable () -> Void) {
        pause = interval / 2
        self.relays = relays
        self.feed = feed
        round = WatchdogRound(0) {}
        ask(on: loop)
    }

    private func ask(on loop: isolated Loop) {
        next = loop.schedule(after: pause) { [weak self] in self?.ask(on: loop) }
        // One that has not answered the last time hangs: asking it again would only fill its queue.
        guard round.isOver else { return }
        let round = WatchdogRound(relays.count + 1, completion: feed)
        self.round = round
        for relay in relays { relay.submit { _ in round.answer() } }
        round.answer()
    }

    /// Another process feeds from now on.
    func stop(on loop: isolated Loop) {
        if let next { loop.cancel(next) }
        next = nil
    }
}

/// One question to all loops, which they answer from their own threads.
final class WatchdogRound: Sendable {
    private let missing: Atomic<Int>
    private let completion: @Sendable () -> Void

    /// - Parameter completion: on the thread of the last answer.
    init(_ count: Int, completion: @escaping @Sendable () -> Void) {
        missing = Atomic(count)
        self.completion = completion
    }

    var isOver: Bool { missing.load(ordering: .relaxed) <= 0 }

    func answer() {
        if missing.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { completion() }
    }
}
