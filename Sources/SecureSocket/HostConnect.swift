import Basics
import Failures
import OpenSSL
import SocketIO

/// Resolves a host's name and connects to it, through a proxy if one is set. TLS with the host comes after it. Confined to one loop.
///
/// It has no deadline: its owner cancels it.
public final class HostConnect {
    public enum Event {
        /// The connection to the proxy is there; the proxy is asked now.
        case reachedProxy
        /// `.nameNotResolved`, `.cannotConnect`, `.configuration` for a proxy that cannot be used, or what the proxy's
        /// answer means (`.accessDenied`, `.tls`, `.upgradeRefused`, `.connectionLost`).
        case done(Result<HostPath, Failure>)
    }

    /// How connections are made.
    public struct Settings: Sendable {
        public var resolver: Resolver
        public var proxies: ProxySettings
        /// Trust roots for a proxy that speaks TLS.
        public var tls: TLSContext
        /// Sent to proxies.
        public var userAgent: String

        public init(resolver: Resolver, proxies: ProxySettings, tls: TLSContext, userAgent: String) {
            self.resolver = resolver
            self.proxies = proxies
            self.tls = tls
            self.userAgent = userAgent
        }
    }

    private let settings: Settings
    private let host: String
    private let address: HostAndPort
    private var proxy: ProxyServer?
    private var isResolved = false
    private var connector: Connector?
    private var asking: ProxyConnect?
    private var onEvent: ((Event) -> Void)?

    /// Begins at once; events come later, `.done` once and last, unless `cancel` comes first.
    ///
    /// - Parameters:
    ///   - address: a name must be a host name: it becomes part of the request to a proxy, where a line end would begin another
    ///     header.
    ///   - host: what messages call it.
    ///   - refusal: the result, if the caller knows already that it must not connect.
    public init(
        to address: HostAndPort, called host: String, refusal: Failure? = nil, settings: Settings,
        on loop: isolated Loop, onEvent: @escaping (Event) -> Void
    ) {
        self.settings = settings
        self.address = address
        self.host = host
        self.onEvent = onEvent
        do throws(Failure) {
            if let refusal { throw refusal }
            proxy = try settings.proxies.server(forHost: address.host, port: Int(address.port))
        } catch {
            loop.soon { [weak self] in self?.finish(.failure(error)) }
            return
        }
        let bound = LoopBound(self, on: loop)
        settings.resolver.resolve(next.host, port: next.port) { answer in
            bound.loop.submit { loop in bound.get(on: loop).resolved(answer, on: loop) }
        }
    }

    public func cancel(on loop: isolated Loop) {
        onEvent = nil
        connector?.cancel(on: loop)
        connector = nil
        asking?.cancel(on: loop)
        asking = nil
    }

    /// What is connected to.
    private var next: HostAndPort { proxy.map { HostAndPort(host: $0.host, port: $0.port) } ?? address }

    /// "eice-0123", or "proxy http://proxy.corp:3128".
    private var name: String { proxy.map { "proxy \($0)" } ?? host }

    /// The name that the resolver has not answered yet, for messages.
    public var unresolved: String? { isResolved ? nil : nameOfHost }

    private var nameOfHost: String { "\(next.host) of \(name)" }

    private func resolved(_ answer: Resolver.Answer, on loop: isolated Loop) {
        guard onEvent != nil else { return }
        isResolved = true
        switch answer {
        case .failure(let error):
            finish(
                .failure(
                    Failure(
                        .nameNotResolved, "cannot resolve \(nameOfHost)", why: error.reason,
                        hint: proxy == nil ? "is this machine online?" : "HTTPS_PROXY names the proxy")))
        case .success(let addresses):
            connector = Connector(to: addresses, on: loop) { [weak self] result in self?.connected(result, on: loop) }
        }
    }

    private func connected(_ result: Result<(FileDescriptor, SocketAddress), ConnectError>, on loop: isolated Loop) {
        connector = nil
        switch result {
        case .failure(let error):
            settings.resolver.forget(next.host)
            finish(
                .failure(
                    Failure(
                        .cannotConnect, "cannot connect to \(name) at \(error.address)", why: error.error.reason,
                        hint: proxy == nil ? nil : "HTTPS_PROXY names the proxy, NO_PROXY what is reached directly")))
        case .success((let descriptor, _)):
            descriptor.setKeepAlive(idle: .seconds(30), interval: .seconds(10), probes: 3, userTimeout: .seconds(60))
            guard let proxy else {
                finish(.success(.socket(descriptor)))
                return
            }
            ask(proxy, over: descriptor, on: loop)
        }
    }

    private func ask(_ proxy: ProxyServer, over descriptor: FileDescriptor, on loop: isolated Loop) {
        do throws(Failure) {
            asking = try ProxyConnect(
                descriptor, to: proxy, for: address, settings: settings, on: loop
            ) { [weak self] result in
                self?.asking = nil
                self?.finish(result)
            }
        } catch {
            finish(.failure(error))
            return
        }
        onEvent?(.reachedProxy)
    }

    private func finish(_ result: Result<HostPath, Failure>) {
        let onEvent = onEvent
        self.onEvent = nil
        onEvent?(.done(result))
    }
}

/// A connection at whose other end the host is, before any TLS with it.
public enum HostPath {
    case socket(FileDescriptor)
    /// Through a proxy that itself speaks TLS.
    case proxy(TLSConnection)
}
