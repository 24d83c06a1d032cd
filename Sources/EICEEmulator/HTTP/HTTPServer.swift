import Logging
import SocketIO

/// A small HTTP/1.1 server for what is asked rarely: the EC2 API and the administration. Plain HTTP, loopback.
///
/// Not checked for Sendable by the compiler: its variables are touched by methods that take the loop it belongs to, and
/// so on that loop's queue alone.
final class HTTPServer: @unchecked Sendable {
    typealias Handler = @Sendable (HTTPRequest) -> HTTPResponse

    let loop: Loop
    private let handler: Handler
    private var connections: [ObjectIdentifier: HTTPConnection] = [:]

    init(_ loop: Loop, handler: @escaping Handler) {
        self.loop = loop
        self.handler = handler
    }

    func adopt(_ descriptor: FileDescriptor, on loop: isolated Loop) {
        let connection = try? HTTPConnection(descriptor, handler, on: loop) { [weak self] connection in
            self?.connections[ObjectIdentifier(connection)] = nil
        }
        guard let connection else { return }
        connections[ObjectIdentifier(connection)] = connection
        connection.pump(on: loop)
    }

    func stop(on loop: isolated Loop) {
        for connection in connections.values { connection.finish(on: loop) }
    }
}

/// One client of an ``HTTPServer``: request after request, each answered before the next is read.
final class HTTPConnection: StreamSocketOwner {
    private let handler: HTTPServer.Handler
    private let onEnd: (HTTPConnection) -> Void
    private var socket: StreamSocket?
    private var parser = HTTPRequestParser()
    private var output: [UInt8] = []
    private var written = 0
    private var closesAfterOutput = false
    private var limit: Deadline?
    /// For a request, or between two of them.
    private static let timeout = Duration.seconds(60)

    init(
        _ descriptor: FileDescriptor, _ handler: @escaping HTTPServer.Handler, on loop: isolated Loop,
        onEnd: @escaping (HTTPConnection) -> Void
    ) throws(SystemError) {
        self.handler = handler
        self.onEnd = onEnd
        descriptor.setNoDelay()
        socket = try StreamSocket(descriptor, owner: self, on: loop)
        restartLimit(on: loop)
    }

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) { pump(on: loop) }

    func pump(on loop: isolated Loop) {
        while let socket, flush(socket, on: loop) {
            let buffer = loop.buffers.borrow()
            defer { loop.buffers.giveBack(buffer) }
            switch socket.read(into: buffer.memory) {
            case .bytes(let count):
                buffer.end = count
                handle(parser.feed(buffer.filled), on: loop)
            case .wouldBlock: return
            case .endOfFile, .failed: finish(on: loop)
            }
        }
    }

    private func handle(_ first: HTTPRequestParser.Outcome, on loop: isolated Loop) {
        var outcome = first
        while true {
            switch outcome {
            case .needsMore: return
            case .malformed(let status, let why):
                let response = HTTPResponse(status: status, fields: [("Connection", "close")], body: Array(why.utf8))
                output += response.encoded()
                closesAfterOutput = true
                return
            case .request(let request):
                restartLimit(on: loop)
                var response = handler(request)
                if request.field("Connection", contains: "close") {
                    response.fields.append(("Connection", "close"))
                    closesAfterOutput = true
                }
                output += response.encoded()
                if closesAfterOutput { return }
                outcome = parser.next()
            }
        }
    }

    /// - Returns: whether everything is written and more may be read.
    private func flush(_ socket: StreamSocket, on loop: isolated Loop) -> Bool {
        while written < output.count {
            let result = output.withUnsafeBytes {
                socket.write(UnsafeRawBufferPointer(rebasing: $0[written...]))
            }
            switch result {
            case .wrote(let count): written += count
            case .wouldBlock: return false
            case .failed:
                finish(on: loop)
                return false
            }
        }
        output.removeAll()
        written = 0
        if closesAfterOutput { finish(on: loop) }
        return !closesAfterOutput
    }

    private func restartLimit(on loop: isolated Loop) {
        if let limit { loop.cancel(limit) }
        limit = loop.schedule(after: Self.timeout) { [weak self] in
            self?.limit = nil
            self?.finish(on: loop)
        }
    }

    func finish(on loop: isolated Loop) {
        guard let socket else { return }
        self.socket = nil
        if let limit { loop.cancel(limit) }
        socket.close(on: loop)
        onEnd(self)
    }
}
