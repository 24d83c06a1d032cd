/// `eice-emulator` as a child: an endpoint, the EC2 calls around it, and the instances of an inventory.
public final class Emulator: Sendable {
    /// What a shell needs to use it: credentials, region, addresses, its certificate authority.
    public let environment: [String: String]
    public let process: ChildProcess
    private let directory: TemporaryDirectory

    /// - Parameters:
    ///   - inventory: JSON, as `eice-emulator --help` describes it.
    ///   - options: further arguments.
    ///   - wrapper: a program with arguments that runs it in its own place, such as nsenter(1).
    public static func start(
        inventory: String, options: [String] = [], wrapper: [String] = []
    ) async throws -> Emulator {
        try await Emulator(inventory: inventory, options: options, wrapper: wrapper)
    }

    private init(inventory: String, options: [String], wrapper: [String]) async throws {
        directory = try TemporaryDirectory("emulator")
        let file = try directory.write("inventory.json", inventory)
        let command = wrapper + [BuiltProducts.emulator, "--inventory", file] + options
        let process = try ChildProcess(
            command[0], Array(command.dropFirst()),
            environment: ["PATH": "/usr/bin:/bin", "TMPDIR": directory.path, "HOME": directory.path],
            diesWithParent: true)
        self.process = process
        try await eventually("the emulator prints its environment") {
            process.exit != nil || process.standardOutput.contains("EICED_CONNECT_TO=")
        }
        guard process.exit == nil else { throw TestFailure("the emulator ended: \(process.standardError)") }
        environment = Self.variables(in: process.standardOutput)
    }

    /// Gives it another inventory; open tunnels stay.
    public func replace(inventory: String) async throws {
        guard let port = environment["EICE_EMULATOR_ADMIN"]?.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw TestFailure("the emulator has no administration")
        }
        let head =
            "PUT /inventory HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nContent-Length: \(inventory.utf8.count)\r\n\r\n"
        let answer = try await onThread {
            let socket = try LoopbackSocket.connect(port: port)
            try socket.write(head + inventory)
            return try socket.readLine()
        }
        guard answer.contains(" 204 ") else { throw TestFailure("the inventory was refused: \(answer)") }
    }

    /// Calls of EC2's API so far.
    public func apiRequests() async throws -> Int {
        let port = try port(in: "EICE_EMULATOR_ADMIN")
        let answer = try await onThread {
            let socket = try LoopbackSocket.connect(port: port)
            try socket.write("GET /stats HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nConnection: close\r\n\r\n")
            return String(decoding: try socket.readToEndOrReset(), as: UTF8.self)
        }
        guard let match = answer.firstMatch(of: #/"apiRequests" : (\d+)/#), let count = Int(match.output.1) else {
            throw TestFailure("no figures of the API: \(answer)")
        }
        return count
    }

    public var log: String { process.standardError }

    /// The port in one of its addresses.
    public func port(in variable: String) throws -> UInt16 {
        guard let port = environment[variable]?.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw TestFailure("no port in \(variable): \(environment)")
        }
        return port
    }

    /// Lines as a shell takes them: `export NAME=VALUE`, the value quoted or not.
    private static func variables(in text: String) -> [String: String] {
        var found: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let bare = line.hasPrefix("export ") ? line.dropFirst("export ".count) : line
            guard let equals = bare.firstIndex(of: "="), bare.first?.isLetter == true else { continue }
            var value = bare[bare.index(after: equals)...]
            for quote in ["'", "\""] where value.count >= 2 && value.hasPrefix(quote) && value.hasSuffix(quote) {
                value = value.dropFirst().dropLast()
            }
            found[String(bare[..<equals])] = String(value)
        }
        return found
    }
}
