import Failures
import InstanceConnect
import Logging
import SocketIO
import Synchronization
import TestSupport
import Testing
import Transport

@testable import Daemon

/// The plan with a loop's deadlines: seconds are milliseconds here.
@Suite struct RenewalsTests {
    private final class Desk: Sendable {
        let asked = Mutex<[String: Int]>([:])
        let gate = AsyncStream<Void>.makeStream()
        func count(_ target: String) -> Int { asked.withLock { $0[target] ?? 0 } }
    }

    private static func request(_ target: String, port: UInt16 = 22) throws -> RouteRequest {
        RouteRequest(target: try Target(parsing: target), remotePort: port)
    }

    private func onLoop<Value: Sendable>(
        _ loop: Loop, _ body: @escaping @Sendable (isolated Loop) -> Value
    ) async -> Value {
        await withCheckedContinuation { continuation in
            loop.submit { loop in continuation.resume(returning: body(loop)) }
        }
    }

    private func renewals(_ loop: Loop, _ desk: Desk) async -> LoopBound<Renewals> {
        let times = RenewalTimes(
            keptFor: .milliseconds(600), lead: .milliseconds(15), interval: .milliseconds(45),
            firstPause: .milliseconds(10))
        return await onLoop(loop) { loop in
            let renewals = Renewals(times, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
                (request, _) throws(Failure) in
                let name = request.target.description
                desk.asked.withLock { $0[name, default: 0] += 1 }
                if name == "broken" { throw Failure(.serviceUnavailable, "broken") }
                if name == "hangs" { for await _ in desk.gate.stream { break } }
                return .now + .milliseconds(60)
            }
            return LoopBound(renewals, on: loop)
        }
    }

    @Test func targetsInUseAreRenewedUntilNobodyHasUsedThemForAWhile() async throws {
        let loop = try Loop(label: "test")
        let desk = Desk()
        let renewals = await renewals(loop, desk)
        #expect(await onLoop(loop) { renewals.get(on: $0).isAtRest })
        func use(_ names: String...) async throws {
            for name in names {
                for port in [22, 3_389] as [UInt16] {
                    let request = try Self.request(name, port: port)
                    await onLoop(loop) { renewals.get(on: $0).used(request, on: $0) }
                }
            }
        }
        try await use("web", "broken", "hangs")
        #expect(await onLoop(loop) { !renewals.get(on: $0).isAtRest })
        try await eventually("it is renewed again and again") {
            // Used all the while: how long the machine takes for three is not what is kept for so long.
            try await use("web", "broken", "hangs")
            return desk.count("web") >= 3 && desk.count("broken") >= 2 && desk.count("hangs") >= 1
        }
        #expect(desk.count("hangs") == 1, "and what hangs holds up no other, nor is it asked twice")
        desk.gate.continuation.finish()
        try await eventually("nothing is left to wake up for") {
            await onLoop(loop) { renewals.get(on: $0).isAtRest }
        }
        let (web, turns) = (desk.count("web"), await onLoop(loop) { $0.eventCount })
        try await letPass(.milliseconds(300))
        #expect(desk.count("web") == web)
        #expect(await onLoop(loop) { $0.eventCount } == turns)
    }
}
