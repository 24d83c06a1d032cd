import ControlCodec
import ControlProtocol
import ControlServer
import Failures
import InstanceConnect
import Logging
import SocketIO
import Transport
import Tunnels

/// Fulfils the requests that add, change and remove forwards: all of one request or nothing, and the reply only once
/// what lasts is on the disk. Confined to the control loop.
///
/// Requests about the same name go one after another; a look-up that takes long holds up nobody else.
final class ForwardRequests {
    private typealias Work = () -> Void

    private let forwards: ForwardTable
    private let store: ForwardStore
    private let router: any InstanceConnectRouter
    private let obstacle: () -> Failure?
    private let logger: Logger
    private var names = NameQueue<Work>()

    /// - Parameter obstacle: why nothing may be changed: the daemon stops, or another one takes over.
    init(
        forwards: ForwardTable, store: ForwardStore, router: any InstanceConnectRouter, logger: Logger,
        obstacle: @escaping () -> Failure?
    ) {
        self.forwards = forwards
        self.store = store
        self.router = router
        self.logger = logger
        self.obstacle = obstacle
    }

    /// One request on its way: answered once, and its names given back with the answer.
    private final class Job {
        let names: Set<String>
        let reply: PendingReply

        init(_ names: Set<String>, _ reply: PendingReply) {
            self.names = names
            self.reply = reply
        }
    }

    /// Whether a request is on its way.
    var isBusy: Bool { !names.isIdle }

    // MARK: The frame

    /// Begins `work` when nobody else works on `names`. An error it throws is the reply.
    private func begin(
        _ names: Set<String>, _ reply: PendingReply, on loop: isolated Loop,
        _ work: @escaping (Job) throws(Failure) -> Void
    ) {
        let job = Job(names, reply)
        let start: Work = {
            do throws(Failure) {
                if let obstacle = self.obstacle() { throw obstacle }
                try work(job)
            } catch {
                self.end(job, .failure(error), on: loop)
            }
        }
        if self.names.enter(names, start) { start() }
    }

    private func end(_ job: Job, _ result: Result<ControlResult, Failure>, on loop: isolated Loop) {
        job.reply(result, on: loop)
        for work in names.release(job.names) { work() }
    }

    /// A look-up under way: it ends once, by itself or by its deadline.
    private final class LookUp {
        private var completion: ((Failure?) -> Void)?
        var deadline: Deadline?

        init(_ completion: @escaping (Failure?) -> Void) { self.completion = completion }

        func end(_ failure: Failure?, on loop: isolated Loop) {
            if let deadline { loop.cancel(deadline) }
            deadline = nil
            let completion = completion
            self.completion = nil
            completion?(failure)
        }
    }

    /// Whoever asked waits for an answer no longer than a minute.
    private static let longestLookUp = Duration.seconds(45)

    /// Looks up what `specifications` lead to, then goes on with what is wrong with one of them.
    private func resolve(
        _ specifications: [ForwardSpecification], _ translation: RequestTranslation, on loop: isolated Loop,
        _ completion: @escaping (Failure?) -> Void
    ) {
        let routes = specifications.map(\.route)
        let router = router
        let lookUp = LookUp(completion)
        let bound = LoopBound(lookUp, on: loop)
        let work = Task {
            var failure: Failure?
            do throws(Failure) {
                for route in routes { _ = try await router.resolve(route) }
            } catch {
                failure = error
            }
            let outcome = failure
            bound.loop.submit { loop in bound.get(on: loop).end(outcome, on: loop) }
        }
        guard let first = routes.first else { return }
        let limit = min(translation.configuration.timeouts.tunnel.resolve, Self.longestLookUp)
        lookUp.deadline = loop.schedule(after: limit) {
            let awaited = routes.lazy.compactMap { router.awaited(by: $0) }.first
            work.cancel()
            lookUp.end(
                .lookUpTookTooLong("\(first.target):\(first.remotePort)", limit, awaited: awaited), on: loop)
        }
    }

    private func answer(
        _ job: Job, _ answered: [Forward], lookUp failure: Failure? = nil, on loop: isolated Loop
    ) {
        if let failure { logger.warning("cannot look up the target yet: \(failure)") }
        let infos = answered.map { forward in
            var info = ForwardInfo(forward, tunnels: 0)
            if let failure { info.lastFailure = FailureRecord(when: .now(), failure: failure) }
            return info
        }
        end(job, .success(.forwards(ForwardListResult(forwards: infos))), on: loop)
    }

    // MARK: Add

    /// - Parameter translation: what the configuration and the environment are now.
    func add(
        _ parameters: ForwardAddParameters, _ translation: RequestTranslation, _ reply: PendingReply,
        on loop: isolated Loop
    ) throws(Failure) {
        let specifications = try translation.forwards(parameters)
        begin(Set(specifications.map(\.name)), reply, on: loop) { (job) throws(Failure) in
            try self.add(specifications, translation, job, on: loop)
        }
    }

    private func add(
        _ specifications: [ForwardSpecification], _ translation: RequestTranslation, _ job: Job, on loop: isolated Loop
    ) throws(Failure) {
        // The same request again finds its work done.
        let fresh = specifications.filter { !(forwards[$0.name]?.specification.fulfils($0) ?? false) }
        // Names and ports first: what is wrong with them is known at once. Then the look-up; only then is anything saved
        // and accepted.
        let reservation = try forwards.reserve(fresh)
        do throws(Failure) {
            let known = specifications.filter { !fresh.contains($0) }
            for specification in known { try forwards[specification.name]?.insistOnListening(on: loop) }
        } catch {
            forwards.cancel(reservation)
            throw error
        }
        resolve(fresh, translation, on: loop) { failure in
            // What may be otherwise in a minute (no network, a throttled call) does not keep a forward from being: its
            // first connection asks again.
            if let failure, !failure.kind.isTemporary {
                self.forwards.cancel(reservation)
                return self.end(job, .failure(failure), on: loop)
            }
            self.save(adding: reservation.specifications, on: loop) { problem in
                if let problem {
                    self.forwards.cancel(reservation)
                    return self.end(job, .failure(problem), on: loop)
                }
                guard self.obstacle() == nil else {
                    self.forwards.cancel(reservation)
                    return self.end(job, .failure(Self.stoppedMeanwhile), on: loop)
                }
                _ = self.forwards.commit(reservation, on: loop)
                self.answer(
                    job, specifications.compactMap { self.forwards[$0.name] }, lookUp: failure, on: loop)
            }
        }
    }

    /// Changes the list of what lasts. A daemon that stops meanwhile changes nothing any more.
    private func save(
        removing removed: [String] = [], adding added: [ForwardSpecification] = [], on loop: isolated Loop,
        completion: @escaping (Failure?) -> Void
    ) {
        if let obstacle = obstacle() { return completion(obstacle) }
        store.change(removing: removed, adding: added, on: loop, completion: completion)
    }

    // MARK: Set

    func set(
        _ parameters: ForwardSetParameters, _ translation: RequestTranslation, _ reply: PendingReply,
        on loop: isolated Loop
    ) {
        begin(Set([parameters.forward, parameters.name ?? parameters.forward]), reply, on: loop) {
            (job) throws(Failure) in
            guard let forward = self.forwards[parameters.forward] else {
                throw Self.unknown(parameters.forward)
            }
            let old = forward.specification
            guard old.origin == .request else {
                throw Failure(
                    .invalidRequest, "the forward \(old.name) cannot be changed here",
                    why: "it comes from the configuration", hint: "change it there, then eicectl reload")
            }
            let new = try translation.changed(old, parameters)
            let change = try self.forwards.prepareChange(of: forward, to: new)
            self.resolve(new.route == old.route ? [] : [new], translation, on: loop) { failure in
                self.apply(change, of: forward, named: old.name, failure, job, on: loop)
            }
        }
    }

    private func apply(
        _ change: ForwardTable.Change, of forward: Forward, named oldName: String, _ failure: Failure?, _ job: Job,
        on loop: isolated Loop
    ) {
        if let failure, !failure.kind.isTemporary {
            forwards.cancel(change)
            return end(job, .failure(failure), on: loop)
        }
        save(removing: [oldName], adding: [change.specification], on: loop) { problem in
            if let problem {
                self.forwards.cancel(change)
                return self.end(job, .failure(problem), on: loop)
            }
            guard self.obstacle() == nil else {
                self.forwards.cancel(change)
                return self.end(job, .failure(Self.stoppedMeanwhile), on: loop)
            }
            self.forwards.commit(change, on: loop)
            self.answer(job, [forward], lookUp: failure, on: loop)
        }
    }

    // MARK: Remove

    func remove(_ parameters: ForwardRemoveParameters, _ reply: PendingReply, on loop: isolated Loop) {
        begin(Set(parameters.names), reply, on: loop) { (job) throws(Failure) in
            for name in parameters.names where self.forwards[name] == nil { throw Self.unknown(name) }
            self.save(removing: parameters.names, on: loop) { problem in
                if let problem { return self.end(job, .failure(problem), on: loop) }
                // A reload may have removed one of the configuration's meanwhile.
                let present = parameters.names.filter { self.forwards[$0] != nil }
                do throws(Failure) {
                    try self.forwards.remove(present, on: loop)
                } catch {
                    return self.end(job, .failure(error), on: loop)
                }
                self.end(
                    job, .success(.forwardRemove(ForwardRemoveResult(removed: parameters.names))), on: loop)
            }
        }
    }

    private static var stoppedMeanwhile: Failure {
        Failure(
            .shuttingDown, "eiced is shutting down",
            why: "what was asked for is saved, and holds from its next start on")
    }

    private static func unknown(_ name: String) -> Failure {
        Failure(.unknownForward, "there is no forward named \(name)", hint: "eicectl ls shows those there are")
    }
}

extension Failure.Kind {
    /// EX_TEMPFAIL: the same request may succeed later.
    fileprivate var isTemporary: Bool { exitCode == 75 }
}
