import Failures
import InstanceConnect
import SocketIO

/// The part of a dial that knows no target: the endpoint's name to a TCP connection. Confined to the control loop.
///
/// Has no deadline of its own: whoever started it cancels it.
final class EndpointConnect {
    private let services: TunnelServices
    private let endpoint: Endpoint
    private let address: HostAndPort
    private var connector: Connector?
    private var completion: ((Result<FileDescriptor, Failure>) -> Void)?

    /// Begins at once; `completion` comes later, once, unless `cancel` comes first.
    init(
        _ endpoint: Endpoint, services: TunnelServices, on loop: isolated Loop,
        completion: @escaping (Result<FileDescriptor, Failure>) -> Void
    ) {
        self.services = services
        self.endpoint = endpoint
        self.completion = completion
        address = services.connectTo ?? HostAndPort(host: endpoint.dnsName, port: endpoint.port)
        let bound = LoopBound(self, on: loop)
        services.resolver.resolve(address.host, port: address.port) { answer in
            bound.loop.submit { loop in bound.get(on: loop).resolved(answer, on: loop) }
        }
    }

    func cancel(on loop: isolated Loop) {
        completion = nil
        connector?.cancel(on: loop)
        connector = nil
    }

    private func resolved(_ answer: Resolver.Answer, on loop: isolated Loop) {
        guard completion != nil else { return }
        switch answer {
        case .failure(let error):
            finish(
                .failure(
                    Failure(
                        .nameNotResolved, "cannot resolve \(error.host) of \(endpoint.id)", why: error.reason,
                        hint: "is this machine online?")))
        case .success(let addresses):
            connector = Connector(to: addresses, on: loop) { [weak self] result in self?.connected(result) }
        }
    }

    private func connected(_ result: Result<(FileDescriptor, SocketAddress), ConnectError>) {
        connector = nil
        switch result {
        case .failure(let error):
            services.resolver.forget(address.host)
            finish(
                .failure(
                    Failure(
                        .cannotConnect, "cannot connect to \(endpoint.id) at \(error.address)",
                        why: error.error.reason)))
        case .success((let descriptor, _)):
            descriptor.setKeepAlive(idle: .seconds(30), interval: .seconds(10), probes: 3, userTimeout: .seconds(60))
            finish(.success(descriptor))
        }
    }

    private func finish(_ result: Result<FileDescriptor, Failure>) {
        let completion = completion
        self.completion = nil
        completion?(result)
    }
}
