import Synchronization

/// An HTTP/1.1 server on a loopback port that answers as a test wants, and keeps what it was asked: what stands for an AWS
/// service, a metadata service or a log-in service.
public final class HTTPStub: Sendable {
    public struct Request: Sendable {
        public let method: String
        /// Path and query, as sent.
        public let target: String
        public let headers: [(String, String)]
        public let body: String

        public func header(_ name: String) -> String? {
            headers.first { $0.0.lowercased() == name.lowercased() }?.1
        }
    }

    public struct Answer: Sendable {
        public var status: Int
        public var headers: [(String, String)]
        public var body: [UInt8]
        /// Sends nothing and waits until the client has gone.
        public var isSilence = false

        public init(_ status: Int = 200, headers: [(String, String)] = [], _ body: String = "") {
            self.status = status
            self.headers = headers
            self.body = Array(body.utf8)
        }

        public static var silence: Answer {
            var answer = Answer()
            answer.isSilence = true
            return answer
        }

        /// An error whose message repeats all of the request, in the form of the protocol that asked.
        public static func error(_ status: Int, repeating request: Request) -> Answer {
            let fields = request.headers.map { "\($0.0): \($0.1)" }.joined(separator: " ")
            let said = "you sent \(request.target) \(fields) \(request.body)"
            guard request.header("content-type")?.contains("form") == true else {
                let text = said.replacing("\\", with: #"\\"#).replacing("\"", with: #"\""#)
                return Answer(status, #"{"message":"\#(text)","code":"Broken"}"#)
            }
            let text = said.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
            return Answer(
                status, "<ErrorResponse><Error><Code>Broken</Code><Message>\(text)</Message></Error></ErrorResponse>")
        }
    }

    public let port: UInt16
    public var url: String { "http://127.0.0.1:\(port)" }
    private let server: LoopbackServer
    private let record: Record

    private final class Record: Sendable {
        let requests = Mutex<[Request]>([])
    }

    public init(_ answer: @escaping @Sendable (Request) -> Answer) throws {
        let record = Record()
        self.record = record
        server = try LoopbackServer { connection in
            while let request = try Self.read(connection) {
                record.requests.withLock { $0.append(request) }
                let answer = answer(request)
                if answer.isSilence {
                    _ = try connection.readToEnd()
                    return
                }
                var head = "HTTP/1.1 \(answer.status) Answer\r\nContent-Length: \(answer.body.count)\r\n"
                for (name, value) in answer.headers { head += "\(name): \(value)\r\n" }
                try connection.write(Array("\(head)\r\n".utf8) + answer.body)
            }
        }
        port = server.port
    }

    /// All requests so far, in the order they came.
    public var requests: [Request] { record.requests.withLock { $0 } }

    private static func read(_ connection: LoopbackSocket) throws -> Request? {
        let first = try connection.readLine()
        let words = first.split(separator: " ")
        guard words.count == 3 else { return nil }
        var headers: [(String, String)] = []
        while true {
            var line = try connection.readLine()
            if line.hasSuffix("\r") { line.removeLast() }
            guard !line.isEmpty, let colon = line.firstIndex(of: ":") else { break }
            headers.append((String(line[..<colon]), String(line[line.index(after: colon)...].drop { $0 == " " })))
        }
        let length = headers.first { $0.0.lowercased() == "content-length" }.flatMap { Int($0.1) } ?? 0
        let body = try connection.read(exactly: length)
        return Request(
            method: String(words[0]), target: String(words[1]), headers: headers,
            body: String(decoding: body, as: UTF8.self))
    }
}
