import Failures
import SocketIO
import TestSupport
import Testing

@testable import Tunnels

/// Forwards that go, come and change together.
@Suite struct ForwardReplacementTests {
    private typealias Outcome = Result<[String], Failure>

    /// Where all forwards listen after the replacement, or after its refusal.
    private func replace(
        _ bench: Bench, removing removed: [String] = [], adding added: [ForwardSpecification] = [],
        changing changed: [ForwardSpecification] = [], andCancel cancels: Bool = false
    ) async -> (outcome: Outcome, listening: [String]) {
        await bench.onControl { tables, loop in
            let outcome: Outcome
            do throws(Failure) {
                let replacement = try tables.forwards.prepare(removing: removed, adding: added, changing: changed)
                if cancels {
                    tables.forwards.cancel(replacement)
                } else {
                    try tables.forwards.commit(replacement, on: loop)
                }
                outcome = .success(tables.forwards.all.map(\.specification.name))
            } catch {
                outcome = .failure(error)
            }
            return (outcome, tables.forwards.all.flatMap(\.addresses).map(\.description))
        }
    }

    @Test func twoCannotTakeTheAddressThatOneLeaves() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let (port, other) = (try freePort(), try freePort())
        let before = try await bench.add(try Bench.specification("web", local: .port(port)))
        var narrow = try Bench.specification("narrow", local: .port(port))
        narrow.bindAddress = "127.0.0.1"
        let result = await replace(
            bench, adding: [narrow, try Bench.specification("wide", local: .port(port))],
            changing: [try Bench.specification("web", local: .port(other))])
        guard case .failure(let failure) = result.outcome else { throw TestFailure("\(result)") }
        #expect(failure.kind == .cannotListen)
        #expect(failure.sentence.contains("another forward is to listen there"), "\(failure)")
        #expect(result.listening == before.map(\.description))
    }

    @Test func whatIsCancelledLeavesNothingBehind() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let folder = try TemporaryDirectory()
        let path = folder("s")
        try await bench.add(try Bench.specification("web", local: .path(path)))
        for _ in 0..<3 {
            let result = await replace(
                bench, removing: ["web"],
                adding: [
                    try Bench.specification("renamed", local: .path(path)), try Bench.specification("more"),
                ], andCancel: true)
            #expect(result.listening == [path])
        }
        _ = try LoopbackSocket.connect(path: path)
        // Names are free again, and the socket's file goes with the forward that has it in the end.
        let renamed = await replace(
            bench, removing: ["web"], adding: [try Bench.specification("renamed", local: .path(path))])
        #expect(try renamed.outcome.get() == ["renamed"])
        _ = try LoopbackSocket.connect(path: path)
        #expect(await replace(bench, removing: ["renamed"]).listening.isEmpty)
        #expect((try? LoopbackSocket.connect(path: path)) == nil)
    }

    @Test func aNameThatIsTakenOrUnknownRefusesAll() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        try await bench.add(try Bench.specification("web"))
        let (one, two) = (try Bench.specification("web"), try Bench.specification("new"))
        for (result, kind) in [
            (await replace(bench, adding: [two, one]), Failure.Kind.nameTaken),
            (await replace(bench, removing: ["gone"], adding: [two]), .unknownForward),
            (await replace(bench, adding: [two], changing: [try Bench.specification("gone")]), .unknownForward),
        ] {
            guard case .failure(let failure) = result.outcome else { throw TestFailure("\(result)") }
            #expect(failure.kind == kind)
            #expect(result.listening.count == 2)
        }
    }
}
