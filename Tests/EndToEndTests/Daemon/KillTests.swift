import Glibc
import TestSupport
import Testing

/// `kill -9` at random moments while forwards are added, renamed and removed.
@Suite struct KillTests {
    private static let rounds = 200

    @Test func killedAtAnyMomentTheStateFileIsWholeAndHoldsWhatWasAcknowledged() async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            var random = SplitMix(state: 20_260_301)
            var known: Set<String> = []
            var undecided = 0
            for round in 0..<Self.rounds {
                if round % 8 == 7 { try await killAtStart(in: directory, after: random.next() % 60_000) }
                let daemon = try await EicedDaemon.start(arguments: ["--log-level", "error"], in: directory)
                let script = Script(
                    known: known, random: random.next(), folder: directory.path, requests: Int(random.next() % 8),
                    pause: random.next() % 4_000)
                let socket = try LoopbackSocket.connect(path: daemon.socket)
                let outcome = try await onThread {
                    try script.begin(on: socket)
                    return try script.play(on: socket) { daemon.process.kill() }
                }
                try await daemon.process.exit()
                let file = try StateFile.read(in: directory)
                let saved = Set(file?.names ?? [])
                let expected = [outcome.acknowledged] + (outcome.inFlight.map { [$0] } ?? [])
                guard expected.contains(saved) else {
                    throw TestFailure("round \(round): \(saved.sorted()) is in the file, expected one of \(expected)")
                }
                known = saved
                if outcome.inFlight != nil { undecided += 1 }
            }
            // Else the kills did not hit what they were meant for.
            #expect(undecided > Self.rounds / 10)
        }
    }

    /// A daemon that reads the file changes nothing in it.
    private func killAtStart(in directory: TemporaryDirectory, after microseconds: UInt64) async throws {
        let before = contents(of: StateFile.path(in: directory))
        let daemon = try EicedDaemon(environment: [:], configuration: nil, arguments: [], directory: directory)
        try await letPass(.microseconds(Int64(microseconds)))
        daemon.process.kill()
        try await daemon.process.exit()
        #expect(contents(of: StateFile.path(in: directory)) == before)
    }

    /// One client's requests, one at a time, and the kill that comes a moment after the last of them was sent.
    private struct Script: Sendable {
        struct Outcome: Sendable {
            /// The names that a daemon which stopped here must have.
            var acknowledged: Set<String>
            /// The same with the request that was not answered.
            var inFlight: Set<String>?
        }

        let known: Set<String>
        let random: UInt64
        let folder: String
        /// How many are answered before the kill.
        let requests: Int
        /// Microseconds from the last one's sending to the kill.
        let pause: UInt64

        /// What is in the file is what the daemon has.
        func begin(on socket: LoopbackSocket) throws {
            let welcome = try answer(to: Self.hello, on: socket) ?? "nothing"
            guard welcome.contains("\"result\"") else { throw TestFailure("no welcome: \(welcome)") }
            let list = try answer(to: request("forward.list", "{}"), on: socket) ?? "nothing"
            let count = list.split(separator: "\"name\":").count - 1
            guard count == known.count, known.allSatisfy({ list.contains("\"name\":\"\($0)\"") }) else {
                throw TestFailure("\(known.sorted()) was to come back, and this did: \(list)")
            }
        }

        func play(on socket: LoopbackSocket, kill: () -> Void) throws -> Outcome {
            var random = SplitMix(state: random)
            var outcome = Outcome(acknowledged: known)
            for number in 0...requests {
                let (line, after) = next(outcome.acknowledged, &random)
                outcome.inFlight = after
                let reply = try answer(to: line, on: socket) {
                    guard number == requests else { return }
                    var time = timespec(tv_sec: 0, tv_nsec: Int(pause) * 1_000)
                    nanosleep(&time, nil)
                    kill()
                }
                guard let reply else {
                    guard number == requests else { throw TestFailure("the daemon ended by itself") }
                    return outcome
                }
                guard reply.contains("\"result\"") else { throw TestFailure("\(line)\n\(reply)") }
                outcome.acknowledged = after
                outcome.inFlight = nil
            }
            return outcome
        }

        /// Nil when the daemon is gone. A reply counts when all of it came.
        private func answer(
            to line: String, on socket: LoopbackSocket, meanwhile: () -> Void = {}
        ) throws -> String? {
            do {
                try socket.write(line + "\n")
                meanwhile()
                let reply = try socket.readLine()
                return reply.hasSuffix("}") ? reply : nil
            } catch let failure as TestFailure {
                throw failure
            } catch {
                return nil
            }
        }

        private static let hello =
            #"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":{"major":1,"minor":0}}}"#

        private func request(_ method: String, _ parameters: String) -> String {
            #"{"jsonrpc":"2.0","id":2,"method":"\#(method)","params":\#(parameters)}"#
        }

        /// A request, and the names that are there when it is done.
        private func next(_ present: Set<String>, _ random: inout SplitMix) -> (String, Set<String>) {
            let names = present.sorted()
            let fresh = "f\(random.next() % 1_000_000)"
            switch random.next() % 8 {
            case 0..<3 where names.count > 2, 0..<8 where names.count > 12:
                let gone = [names[0]] + (names.count > 6 ? [names[names.count - 1]] : [])
                let list = gone.map { "\"\($0)\"" }.joined(separator: ",")
                return (request("forward.remove", "{\"names\":[\(list)]}"), present.subtracting(gone))
            case 3 where !names.isEmpty:
                let old = names[Int(random.next() % UInt64(names.count))]
                return (
                    request("forward.set", #"{"forward":"\#(old)","name":"\#(fresh)"}"#),
                    present.subtracting([old]).union([fresh])
                )
            case 4:
                return (add(fresh, ports: [22, 80, 3389]), present.union([22, 80, 3389].map { "\(fresh)-\($0)" }))
            default: return (add(fresh, ports: [22]), present.union([fresh]))
            }
        }

        /// On Unix sockets, since another program may take a port between two daemons.
        private func add(_ name: String, ports: [Int]) -> String {
            let mappings = ports.map {
                #"{"remotePort":\#($0),"local":{"path":"\#(folder)/\#(name)-\#($0)"}}"#
            }
            return request(
                "forward.add",
                """
                {"name":"\(name)","target":"10.0.0.1","mappings":[\(mappings.joined(separator: ","))],
                "options":{"endpoint":"eice-0123456789abcdef0","endpointDNSName":"x.example","region":"eu-west-1"}}
                """.split(separator: "\n").joined())
        }
    }
}

/// A sequence of numbers that is the same for the same seed (Steele, Lea and Flood, 2014).
private struct SplitMix: Sendable {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
