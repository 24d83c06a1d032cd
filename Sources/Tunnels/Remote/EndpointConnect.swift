import AWS
import Failures
import InstanceConnect
import SocketIO

/// The part of a dial that knows no target: the endpoint's name to a connection with the endpoint at its other end, through
/// a proxy where one is set. Confined to the control loop.
///
/// Has no deadline of its own: whoever started it cancels it.
final class EndpointConnect {
    enum Event {
        /// The proxy is connected, and is asked now.
        case reachedProxy
        case done(Result<EndpointPath, Failure>)
    }

    private let services: TunnelServices
    private let endpoint: Endpoint
    /// What is asked for: the endpoint, or what stands in for it.
    private let address: HostAndPort
    private var proxy: ProxyServer?
    private var isResolved = false
    private var connector: Connector?
    private var asking: ProxyConnect?
    private var onEvent: ((Event) -> Void)?

    /// Begins at once; events come later, `.done` once and last, unless `cancel` comes first.
    init(
        _ endpoint: Endpoint, services: TunnelServices, on loop: isolated Loop,
        onEvent: @escaping (Event) -> Void
    ) {
        self.services = services
        self.endpoint = endpoint
        self.onEvent = onEvent
        address = services.connectTo ?? HostAndPort(host: endpoint.dnsName, port: endpoint.port)
        // Every way to a name checks it. It becomes part of what a proxy is asked, where a line end would be another header.
        guard Identifier.isHostName(endpoint.dnsName) else {
            let name = ForeignText.excerpt(endpoint.dnsName, limit: 60)
            let failure = Failure(
                .endpointUnusable, "endpoint \(endpoint.id) has no usable DNS name", why: "\"\(name)\" is no host name")
            loop.soon { [weak self] in self?.finish(.failure(failure)) }
            return
        }
        do throws(Failure) {
            proxy = try services.proxies.server(forHost: address.host, port: Int(address.port))
        } catch {
            loop.soon { [weak self] in self?.finish(.failure(error)) }
            return
        }
        let bound = LoopBound(self, on: loop)
        services.resolver.resolve(next.host, port: next.port) { answer in
            bound.loop.submit { loop in bound.get(on: loop).resolved(answer, on: loop) }
        }
    }

    func cancel(on loop: isolated Loop) {
        onEvent = nil
        connector?.cancel(on: loop)
        connector = nil
        asking?.cancel(on: loop)
        asking = nil
    }

    /// What is connected to.
    private var next: HostAndPort { proxy.map { HostAndPort(host: $0.host, port: $0.port) } ?? address }

    /// "eice-0123", or "proxy http://proxy.corp:3128".
    private var name: String { proxy.map { "proxy \($0)" } ?? endpoint.id }

    /// What the resolver was asked for and did not answer yet.
    var unresolved: String? { isResolved ? nil : nameOfHost }

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
            services.resolver.forget(next.host)
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
                descriptor, to: proxy, for: address, services: services, on: loop
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

    private func finish(_ result: Result<EndpointPath, Failure>) {
        let onEvent = onEvent
        self.onEvent = nil
        onEvent?(.done(result))
    }
}
