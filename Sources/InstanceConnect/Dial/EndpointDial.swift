import AWS
import Basics
import Failures
import Logging
import OpenSSL
import SecureSocket
import SocketIO
import Transport
import WebSocket

/// A tunnel's way to an open WebSocket: connect or spare, sign, upgrade. Corrects a signature that was refused, once, and
/// replaces a spare that has died. Confined to the control loop.
final class EndpointDial: Dial, EndpointStreamOpener {
    private let dialer: EndpointDialer
    private let route: Route
    private let endpoint: EndpointName
    private let options: DialOptions
    private let trust: TLSContext

    /// Nil when the dial is over.
    private var report: ((DialEvent) -> Void)?

    private var usesSpare = false
    /// The asynchronous step that the dial waits for.
    private var work: Task<Void, Never>?
    private var connect: HostConnect?
    private var stream: EndpointStream?
    private let preparation: DialPreparation
    private var signed: SignedTunnel? { didSet { if let signed { preparation.hide(signed.secrets) } } }
    private var isCorrecting = false
    /// When the request could be sent: the service counts the tunnel's life from it.
    private var requested = ContinuousClock.now

    /// Begins after this returns.
    init(
        _ route: Route, _ options: DialOptions, dialer: EndpointDialer, on loop: isolated Loop,
        report: @escaping (DialEvent) -> Void
    ) {
        self.dialer = dialer
        self.route = route
        self.options = options
        self.report = report
        endpoint = EndpointName(route.path)
        preparation =
            options.preparation as? DialPreparation ?? DialPreparation(trust: nil, signer: nil, until: .now)
        trust = preparation.trust ?? dialer.settings.tls
        loop.soon { self.begin(on: loop) }
    }

    func cancel(on loop: isolated Loop) {
        report = nil
        work?.cancel()
        work = nil
        closeConnection(on: loop)
    }

    private func closeConnection(on loop: isolated Loop) {
        connect?.cancel(on: loop)
        connect = nil
        stream?.close(on: loop)
        stream = nil
    }

    // MARK: Connect

    private var timeouts: DialTimeouts { dialer.settings.timeouts }

    private func begin(on loop: isolated Loop) {
        guard report != nil else { return }
        signed = nil
        sign(on: loop)
        connectOrUseSpare(on: loop)
    }

    private func connectOrUseSpare(on loop: isolated Loop) {
        let spares = dialer.spares(of: endpoint, trusting: trust)
        // A retry after a stale spare must not meet another stale one.
        let isRetry = usesSpare
        usesSpare = false
        if !isRetry, let spare = spares.take(on: loop) {
            usesSpare = true
            stream = spare
            spare.opener = self
            report?(.reached(timeouts.upgradePhase))
            sendRequestIfReady(on: loop)
            return
        }
        spares.keepUp(on: loop)
        connect = HostConnect(to: endpoint, trusting: trust, dialer.settings, on: loop) { [weak self] event in
            guard let self else { return }
            switch event {
            case .reachedProxy: report?(.reached(timeouts.proxyPhase))
            case .done(let result): connected(result, on: loop)
            }
        }
    }

    private func connected(_ result: Result<HostPath, Failure>, on loop: isolated Loop) {
        connect = nil
        do throws(Failure) {
            stream = try EndpointStream(
                try result.get(), context: trust, endpoint: endpoint, handshakes: dialer.handshakes, opener: self,
                on: loop)
            report?(.reached(timeouts.tlsPhase))
            sendRequestIfReady(on: loop)
        } catch {
            fail(error, on: loop)
        }
    }

    var awaited: AwaitedPart? { connect?.unresolved.map { AwaitedPart(name: $0, isHelper: false) } }

    func phaseTimedOut(on loop: isolated Loop) -> Bool {
        if isCorrecting {
            let awaited = dialer.router.awaited(by: options.request)
            let subject = "\(route.target):\(route.remotePort)"
            end(.failed(.lookUpTookTooLong(subject, timeouts.correctionPhase.limit, awaited: awaited)), on: loop)
            return true
        }
        // Its path died silently, for example because a router forgot it.
        guard isOnSilentSpare else { return false }
        replaceStaleSpare(on: loop)
        return true
    }

    /// The dial uses a spare, and the endpoint has answered nothing: the fault may be the spare's alone.
    private var isOnSilentSpare: Bool { usesSpare && stream?.hasAnswered == false }

    private func replaceStaleSpare(on loop: isolated Loop) {
        closeConnection(on: loop)
        report?(.reached(timeouts.connectPhase))
        connectOrUseSpare(on: loop)
        if signed == nil, work == nil { sign(on: loop) }
    }

    // MARK: Sign

    /// Does work that must be awaited, and comes back to this loop with its result.
    private func await<Value: Sendable>(
        on loop: isolated Loop, _ body: @escaping @Sendable () async throws(Failure) -> Value,
        then: @escaping @Sendable (EndpointDial, Result<Value, Failure>, isolated Loop) -> Void
    ) {
        let bound = LoopBound(self, on: loop)
        work?.cancel()
        work = Task {
            let result: Result<Value, Failure>
            do throws(Failure) {
                result = .success(try await body())
            } catch {
                result = .failure(error)
            }
            bound.loop.submit { loop in
                let dial = bound.get(on: loop)
                guard dial.report != nil else { return }
                dial.work = nil
                then(dial, result, loop)
            }
        }
    }

    private func sign(on loop: isolated Loop) {
        let router = dialer.router
        let route = route
        let seconds = Int(options.maxDuration.components.seconds)
        if let signed = preparation.takeSigner(at: loop.now)?(route, seconds) {
            self.signed = signed
            return
        }
        self.await(on: loop) { () throws(Failure) in
            try await router.sign(route, maxDuration: seconds)
        } then: { dial, result, loop in
            switch result {
            case .success(let signed):
                dial.signed = signed
                dial.sendRequestIfReady(on: loop)
            case .failure(let failure): dial.identityFailed(failure, on: loop)
            }
        }
    }

    private func sendRequestIfReady(on loop: isolated Loop) {
        guard let signed, let stream else { return }
        requested = .now
        do throws(UpgradeRequest.Invalid) {
            let request = try UpgradeRequest(
                host: signed.url.hostHeader, pathAndQuery: signed.url.pathAndQuery, key: SecureRandom.bytes(16),
                userAgent: dialer.settings.userAgent)
            stream.setRequest(request, on: loop)
        } catch {
            fail(Failure(.internal, "the signed request cannot be sent", why: error.sentence), on: loop)
        }
    }

    // MARK: Reports of the stream

    func streamIsSecured(on loop: isolated Loop) { report?(.reached(timeouts.upgradePhase)) }

    func streamIsUpgraded(requestID: String?, on loop: isolated Loop) {
        guard let stream, let report else { return }
        self.report = nil
        self.stream = nil
        // Secret, and not needed any more.
        signed = nil
        stream.opened(to: route, hiding: preparation.redaction, dialer.pings)
        report(.answered(serviceID: preparation.redaction.requestID(requestID)))
        report(.opened(OpenedStream(stream, began: requested)))
    }

    func streamWasRefused(_ head: HTTPResponseHead, body: [UInt8], on loop: isolated Loop) {
        guard let signed else { return }
        let refusal = Refusal(
            status: head.status, headers: head.headers.fields.map { ($0.name, $0.value) }, body: body,
            redaction: preparation.redaction)
        report?(.answered(serviceID: refusal.requestID))
        let failure = refusal.failure(route: route, credentials: signed.credentials)
        switch refusal.classification {
        case .full, .throttled:
            dialer.logger.info(
                "the endpoint takes no more for now: \(refusal.summary)",
                metadata: ["endpoint": "\(endpoint.id)", "tunnel": "\(options.tunnel)"])
            end(.full(failure), on: loop)
        default:
            guard refusal.flaw(of: signed.credentials, signedAt: signed.url.signedAt) != nil,
                preparation.takeCorrection()
            else { return fail(failure, on: loop) }
            correctSignature(refusal, of: signed, failure, on: loop)
        }
    }

    /// Corrects what the endpoint refused, looks the target up again (most of that is cached, and AWS's answer corrects a
    /// clock that is in doubt), and dials again.
    private func correctSignature(
        _ refusal: Refusal, of signed: SignedTunnel, _ failure: Failure, on loop: isolated Loop
    ) {
        isCorrecting = true
        closeConnection(on: loop)
        usesSpare = false
        report?(.reached(timeouts.correctionPhase))
        let router = dialer.router
        let request = options.request
        self.await(on: loop) { () throws(Failure) in
            guard try await router.correct(refusal, of: signed, for: request) else { throw failure }
            _ = try await router.resolve(request)
        } then: { dial, result, loop in
            dial.isCorrecting = false
            switch result {
            case .success:
                dial.report?(.reached(dial.timeouts.connectPhase))
                dial.begin(on: loop)
            case .failure(let failure): dial.identityFailed(failure, on: loop)
            }
        }
    }

    func streamFailed(_ failure: Failure, on loop: isolated Loop) {
        guard !isOnSilentSpare else { return replaceStaleSpare(on: loop) }
        fail(preparation.redaction.failure(failure), on: loop)
    }

    private func fail(_ failure: Failure, on loop: isolated Loop) {
        end(failure.concernsTheEndpoint ? .gatewayFailed(failure) : .failed(failure), on: loop)
    }

    /// Credentials, or what asks for them, failed: no endpoint is blamed for that.
    private func identityFailed(_ failure: Failure, on loop: isolated Loop) {
        end(failure.kind == .needsLogin ? .needsLogin(failure) : .failed(failure), on: loop)
    }

    private func end(_ refusal: DialRefusal, on loop: isolated Loop) {
        let report = report
        cancel(on: loop)
        report?(.refused(refusal))
    }
}

extension Failure {
    /// Whether another endpoint might do better: this one was not reached, did not answer, or says that it fails.
    fileprivate var concernsTheEndpoint: Bool {
        [.nameNotResolved, .cannotConnect, .connectionLost, .tls, .webSocket, .deadline, .serviceUnavailable]
            .contains(kind)
    }
}
