import Dispatch
import Synchronization
import TestSupport
import Testing

@testable import SocketIO

@Suite struct ResolverTests {
    /// Answers that a test counts, on a clock that it moves.
    private final class Script: Sendable {
        private let start = ContinuousClock.now
        private let state = Mutex((asked: [String](), seconds: 0, fails: false))

        var asked: [String] { state.withLock(\.asked) }
        func advance(_ seconds: Int) { state.withLock { $0.seconds += seconds } }
        func fail() { state.withLock { $0.fails = true } }

        func resolver() -> Resolver {
            Resolver(
                now: { self.start + .seconds(self.state.withLock(\.seconds)) },
                asking: { host in
                    let (number, fails) = self.state.withLock { state in
                        state.asked.append(host)
                        return (state.asked.count, state.fails)
                    }
                    guard !fails, let address = SocketAddress(ip: "127.0.0.\(number)", port: 0) else {
                        return .failure(ResolveError(host: host, reason: "no"))
                    }
                    return .success([address])
                })
        }
    }

    private func addresses(_ resolver: Resolver, _ host: String) async -> String {
        await withCheckedContinuation { continuation in
            resolver.resolve(host, port: 443) { answer in
                switch answer {
                case .success(let addresses):
                    continuation.resume(returning: addresses.map(\.description).joined(separator: " "))
                case .failure(let error): continuation.resume(returning: error.reason)
                }
            }
        }
    }

    @Test func answersAreKeptForAMinute() async {
        let script = Script()
        let resolver = script.resolver()
        #expect(await addresses(resolver, "a.example") == "127.0.0.1:443")
        script.advance(59)
        #expect(await addresses(resolver, "a.example") == "127.0.0.1:443")
        script.advance(1)
        #expect(await addresses(resolver, "a.example") == "127.0.0.2:443")
        resolver.forget("a.example")
        #expect(await addresses(resolver, "a.example") == "127.0.0.3:443")
    }

    @Test func aNameInUseIsRenewedWhileItsAnswerServes() async throws {
        let script = Script()
        let resolver = script.resolver()
        resolver.renew("a.example", leaving: .seconds(50))
        #expect(script.asked.isEmpty, "nobody has asked for it")
        _ = await addresses(resolver, "a.example")
        script.advance(5)
        resolver.renew("a.example", leaving: .seconds(50))
        #expect(script.asked.count == 1, "it is young")
        script.advance(40)
        resolver.renew("a.example", leaving: .seconds(50))
        try await eventually("the new answer serves") { await addresses(resolver, "a.example") == "127.0.0.2:443" }
        #expect(script.asked == ["a.example", "a.example"])
        // The first answer's end has passed; a dial waits for nothing.
        script.advance(59)
        #expect(await addresses(resolver, "a.example") == "127.0.0.2:443")
    }

    @Test func aRenewalThatFailsLeavesTheAnswerItsLife() async throws {
        let script = Script()
        let resolver = script.resolver()
        _ = await addresses(resolver, "a.example")
        script.fail()
        script.advance(45)
        resolver.renew("a.example", leaving: .seconds(50))
        try await eventually("it was asked") { script.asked.count == 2 }
        #expect(await addresses(resolver, "a.example") == "127.0.0.1:443")
        script.advance(15)
        #expect(await addresses(resolver, "a.example") == "no")
    }

    @Test("an address is taken as it stands, and its port is the one asked for")
    func literalAddress() async {
        let script = Script()
        let resolver = script.resolver()
        #expect(await addresses(resolver, "192.0.2.7") == "192.0.2.7:443")
        #expect(await addresses(resolver, "2001:db8::7") == "[2001:db8::7]:443")
        #expect(script.asked.isEmpty)
    }

    @Test("answers of all names are forgotten together, and a failure is not kept")
    func forgetAll() async {
        let script = Script()
        let resolver = script.resolver()
        #expect(await addresses(resolver, "a.example") == "127.0.0.1:443")
        #expect(await addresses(resolver, "b.example") == "127.0.0.2:443")
        resolver.forgetAll()
        #expect(await addresses(resolver, "a.example") == "127.0.0.3:443")
        #expect(await addresses(resolver, "b.example") == "127.0.0.4:443")
        script.fail()
        #expect(await addresses(resolver, "c.example") == "no")
        #expect(await addresses(resolver, "c.example") == "no")
        #expect(script.asked.count == 6)
    }

    @Test("those who ask for a name that is being looked up share its answer")
    func sharedLookUp() async throws {
        let asked = Mutex(0)
        let gate = DispatchSemaphore(value: 0)
        let resolver = Resolver(
            now: { .now },
            asking: { host in
                asked.withLock { $0 += 1 }
                gate.wait()
                return .failure(ResolveError(host: host, reason: "no"))
            })
        let answers = Mutex(0)
        for _ in 0..<5 { resolver.resolve("a.example", port: 1) { _ in answers.withLock { $0 += 1 } } }
        resolver.renew("a.example", leaving: .seconds(99))
        gate.signal()
        try await eventually("all have the answer") { answers.withLock { $0 } == 5 }
        #expect(asked.withLock { $0 } == 1)
        gate.signal()
        resolver.resolve("a.example", port: 1) { _ in answers.withLock { $0 += 1 } }
        try await eventually("the name was looked up again") { answers.withLock { $0 } == 6 }
        #expect(asked.withLock { $0 } == 2)
    }

    @Test("a renewal that is under way is not begun again, and those who ask meanwhile are served")
    func renewalUnderWay() async throws {
        let asked = Mutex(0)
        let gate = DispatchSemaphore(value: 0)
        let seconds = Mutex(0)
        let start = ContinuousClock.now
        let resolver = Resolver(
            now: { start + .seconds(seconds.withLock { $0 }) },
            asking: { _ in
                let number = asked.withLock { asked in
                    asked += 1
                    return asked
                }
                if number > 1 { gate.wait() }
                return .success([SocketAddress(ip: "127.0.0.\(number)", port: 0)].compactMap { $0 })
            })
        #expect(await addresses(resolver, "a.example") == "127.0.0.1:443")
        seconds.withLock { $0 = 45 }
        resolver.renew("a.example", leaving: .seconds(50))
        // The answer has ended, so this caller joins the renewal.
        seconds.withLock { $0 = 61 }
        let joined = Task { await addresses(resolver, "a.example") }
        for _ in 0..<5 { resolver.renew("a.example", leaving: .seconds(50)) }
        for _ in 0..<7 { gate.signal() }
        #expect(await joined.value == "127.0.0.2:443")
        #expect(asked.withLock { $0 } == 2)
    }
}
