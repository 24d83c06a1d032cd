import Logging
import OpenSSL
import SocketIO

/// What every tunnel's connection needs and none of them changes.
struct TunnelService: Sendable {
    struct Timeouts: Sendable {
        /// For a connection without a request: a client that is silent, or a spare of eiced's. How long the service
        /// waits is not published.
        var request = Duration.seconds(60)
        /// For a TCP connection to a target.
        var connect = Duration.seconds(10)
        /// For the client's part of the close handshake.
        var close = Duration.seconds(5)
        /// For the client's end of file after that.
        var end = Duration.seconds(2)
    }

    let state: EmulatorState
    let verifier: SignatureVerifier
    let certificates: Certificates
    /// The emulated round trip between client and endpoint.
    let latency: Duration
    var timeouts = Timeouts()
    let log: Logger
}

/// The connections of one loop, so that a stop finds them.
///
/// Not checked for Sendable by the compiler: its only variable is touched by methods that take the loop it belongs to,
/// and so on that loop's queue alone.
final class TunnelGroup: @unchecked Sendable {
    let loop: Loop
    private let service: TunnelService
    private var connections: [ObjectIdentifier: TunnelConnection] = [:]

    init(_ loop: Loop, _ service: TunnelService) {
        self.loop = loop
        self.service = service
    }

    /// Takes over a connection that was just accepted.
    func adopt(_ descriptor: FileDescriptor, on loop: isolated Loop) {
        do throws(SystemError) {
            let connection = try TunnelConnection(descriptor, service, on: loop) { [weak self] connection in
                self?.connections[ObjectIdentifier(connection)] = nil
            }
            connections[ObjectIdentifier(connection)] = connection
            connection.start(on: loop)
        } catch {
            service.log.warning("cannot take a connection: \(error)")
        }
    }

    /// Closes every open tunnel as a service that goes away would.
    func closeAll(code: UInt16, reason: String, on loop: isolated Loop) {
        for connection in connections.values { connection.closeByAdministrator(code, reason, on: loop) }
    }

    /// Ends every connection at once.
    func stop(on loop: isolated Loop) {
        for connection in connections.values { connection.finish(on: loop) }
    }
}

/// The `x-amzn-RequestId` of an answer, in the form of AWS's.
func newRequestID() -> String {
    let digits = Digest.hexadecimal(SecureRandom.bytes(16))
    var text = ""
    for (index, digit) in digits.enumerated() {
        if [8, 12, 16, 20].contains(index) { text += "-" }
        text.append(digit)
    }
    return text
}
