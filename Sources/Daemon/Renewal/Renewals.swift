import Failures
import InstanceConnect
import Logging
import SocketIO
import Transport

/// Renews what is known of targets in use, as ``RenewalPlan`` decides. Confined to the control loop.
final class Renewals {
    /// Renews all that a dial needs, and returns until when it lives; nil where that is unknown.
    ///
    /// - Parameter margin: what lives shorter is to be renewed.
    typealias Work =
        @Sendable (RouteRequest, _ margin: Duration) async throws(Failure) -> ContinuousClock.Instant?

    private var plan: RenewalPlan<RouteRequest>
    private var alarm: (deadline: Deadline, instant: ContinuousClock.Instant)?
    private let work: Work
    private let logger: Logger

    init(_ times: RenewalTimes = RenewalTimes(), logger: Logger, _ work: @escaping Work) {
        plan = RenewalPlan(times)
        self.work = work
        self.logger = logger
    }

    func apply(_ times: RenewalTimes) { plan.times = times }

    /// Whether nothing is in use, so that nothing will wake up for this.
    var isAtRest: Bool { plan.isEmpty }

    /// A dial has just resolved this.
    func used(_ request: RouteRequest, on loop: isolated Loop) {
        plan.used(Self.key(request), at: .now)
        arm(on: loop)
    }

    /// All ports of a target share what is known of it.
    private static func key(_ request: RouteRequest) -> RouteRequest {
        var key = request
        key.remotePort = 0
        return key
    }

    private func arm(on loop: isolated Loop) {
        let next = plan.next
        guard next != alarm?.instant else { return }
        if let alarm { loop.cancel(alarm.deadline) }
        // Those that are due at about the same time share a wake-up.
        let tolerance = plan.times.lead / 15
        alarm = next.map { instant in
            (loop.schedule(at: instant, tolerance: tolerance) { [weak self] in self?.fire(on: loop) }, instant)
        }
    }

    private func fire(on loop: isolated Loop) {
        alarm = nil
        // Each by itself: a source that hangs delays nobody else's.
        for request in plan.due(at: .now) { begin(request, on: loop) }
        arm(on: loop)
    }

    private func begin(_ request: RouteRequest, on loop: isolated Loop) {
        let bound = LoopBound(self, on: loop)
        let work = work
        let margin = plan.times.margin
        Task {
            let result: Result<ContinuousClock.Instant?, Failure>
            do throws(Failure) { result = .success(try await work(request, margin)) } catch { result = .failure(error) }
            bound.loop.submit { loop in bound.get(on: loop).ended(request, result, on: loop) }
        }
    }

    private func ended(
        _ request: RouteRequest, _ result: Result<ContinuousClock.Instant?, Failure>, on loop: isolated Loop
    ) {
        switch result {
        case .success(let end): plan.renewed(request, until: end, at: .now)
        case .failure(let failure):
            // The next dial meets it itself, and tells it to whoever waits.
            logger.debug("what is known of \(request.target) was not renewed: \(failure)")
            plan.failed(request, at: .now)
        }
        arm(on: loop)
    }
}
