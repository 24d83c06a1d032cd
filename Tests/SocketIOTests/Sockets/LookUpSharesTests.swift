import Bounds
import Dispatch
import Synchronization
import TestSupport
import Testing

@testable import SocketIO

@Suite struct LookUpSharesTests {
    @Test("names that hang leave threads to names that are not known, and both to names that were answered")
    func shares() {
        var shares = LookUpShares(threads: 8)
        func begun(_ count: Int, _ name: String, _ standing: LookUpShares.Standing) -> Int {
            (0..<count).reduce(0) { $0 + (shares.enter("\(name)-\($1)", standing) ? 1 : 0) }
        }
        func next(after standing: LookUpShares.Standing) -> [String] { shares.left(standing).map(\.name) }
        #expect(begun(8, "hangs", .hangs) == 2)
        #expect(begun(8, "new", .unknown) == 4)
        #expect(begun(3, "good", .answers) == 2, "all eight are in use")
        #expect(next(after: .answers) == ["good-2"])
        #expect(next(after: .unknown) == ["new-4"])
        #expect(next(after: .hangs) == ["new-5"], "which has the better claim")
        #expect(next(after: .unknown) == ["new-6"])
    }

    @Test("each of few threads serves every name")
    func fewThreads() {
        var shares = LookUpShares(threads: 1)
        let (isFirst, isSecond) = (shares.enter("a", .hangs), shares.enter("b", .unknown))
        #expect(isFirst && !isSecond)
        let next = shares.left(.hangs).map(\.name)
        #expect(next == ["b"])
    }

    /// A resolver whose names hang that begin so.
    private final class Names: Sendable {
        let gate = DispatchSemaphore(value: 0)
        let hanging = Atomic(0)
        let seconds = Atomic(0)

        func ask(_ host: String) -> Resolver.Answer {
            if host.hasPrefix("hang") {
                hanging.add(1, ordering: .relaxed)
                gate.wait()
                return .failure(ResolveError(host: host, reason: "timed out"))
            }
            return SocketAddress(ip: "127.0.0.1", port: 0).map { .success([$0]) }
                ?? .failure(ResolveError(host: host, reason: "no"))
        }
    }

    @Test("while as many names hang as there may, other dials find their addresses", arguments: [32, 90, 500])
    func hangingNames(_ count: Int) async throws {
        let names = Names()
        let start = ContinuousClock.now
        let resolver = Resolver(
            pool: BlockingPool(limit: 128), now: { start + .seconds(names.seconds.load(ordering: .relaxed)) },
            asking: names.ask)
        func resolve(_ host: String) async -> Bool {
            await handedOver { done in
                resolver.resolve(host, port: 443) { answer in
                    if case .success = answer { done(true) } else { done(false) }
                }
            }
        }
        #expect(await resolve("known.example"))
        names.seconds.add(120, ordering: .relaxed)
        for number in 0..<count { resolver.resolve("hang-\(number)", port: 443) { _ in } }
        try await eventually("they hang") { names.hanging.load(ordering: .relaxed) >= min(count, 96) }
        #expect(await resolve("known.example"), "a name that was answered before is asked for again")
        if count < 96 { #expect(await resolve("new.example")) }
        for _ in 0..<count { names.gate.signal() }
        #expect(await resolve("new.example"))
    }
}
