import AWS
import Basics
import Failures
import Glibc
import SocketIO
import TestSupport
import Testing
import Tunnels

@testable import Daemon

/// The forwards in memory beside those on the disk.
@Suite struct ForwardStoreTests {
    private final class Desk {
        let store: ForwardStore
        var completions: [String] = []

        init(_ store: ForwardStore) { self.store = store }
    }

    private struct Seen: Equatable, Sendable {
        var completions: [String]
        var names: [String]
        var warnings: [Failure.Kind]
    }

    private let home: TemporaryDirectory
    private let disk = ScriptedDisk()
    private let log = LogRecorder()
    private let loop: Loop

    init() throws {
        home = try TemporaryDirectory("state")
        loop = try Loop(label: "test")
    }

    private func desk(_ warnings: [Failure] = [], on other: ForwardsDisk? = nil) async -> LoopBound<Desk> {
        let forwards = other ?? ForwardsDisk(folderPath: home("eiced"), sync: disk.sync)
        var loaded = forwards.load(at: WallTime(secondsSinceEpoch: 1_772_357_400))
        loaded.warnings = warnings
        return await handedOver { [loop, log, loaded] done in
            loop.submit { loop in
                let store = ForwardStore(loaded, disk: forwards, logger: log.logger)
                done(LoopBound(Desk(store), on: loop))
            }
        }
    }

    /// Asks for changes in one turn, each of one added name and one that is removed.
    private func change(_ desk: LoopBound<Desk>, _ changes: [(removed: String?, added: String?)]) async throws {
        let samples = try Dictionary(
            uniqueKeysWithValues: Set(changes.compactMap(\.added)).map { ($0, try ForwardSpecification.sample($0)) })
        await handedOver { done in
            loop.submit { loop in
                let desk = desk.get(on: loop)
                for change in changes {
                    desk.store.change(
                        removing: change.removed.map { [$0] } ?? [],
                        adding: change.added.flatMap { samples[$0] }.map { [$0] } ?? [], on: loop
                    ) { failure in
                        desk.completions.append(
                            "\(change.added ?? "-")/\(change.removed ?? "-") \(failure?.kind.rawValue ?? "ok")")
                    }
                }
                done(())
            }
        }
    }

    private func seen(_ desk: LoopBound<Desk>, after count: Int) async throws -> Seen {
        func look() async -> Seen {
            await handedOver { done in
                loop.submit { loop in
                    let desk = desk.get(on: loop)
                    done(
                        Seen(
                            completions: desk.completions, names: desk.store.list.all.map(\.name),
                            warnings: desk.store.allWarnings.map(\.failure.kind)))
                }
            }
        }
        try await eventually("\(count) changes are answered") { await look().completions.count >= count }
        return await look()
    }

    @Test("changes are made one after another and answered in their order")
    func order() async throws {
        let desk = await desk()
        try await change(desk, [(nil, "a"), (nil, "b"), ("a", nil), ("none", nil), ("b", "c")])
        #expect(
            try await seen(desk, after: 5)
                == Seen(completions: ["-/none ok", "a/- ok", "b/- ok", "-/a ok", "c/b ok"], names: ["c"], warnings: []))
        // What changes nothing does not touch the disk.
        #expect(disk.calls().count == 2 * 4)
    }

    @Test("a change that cannot be saved changes nothing and is a warning until a save succeeds")
    func failures() async throws {
        let desk = await desk()
        try await change(desk, [(nil, "a")])
        _ = try await seen(desk, after: 1)
        disk.fail(file: EIO)
        try await change(desk, [("a", "b"), (nil, "c")])
        #expect(
            try await seen(desk, after: 3)
                == Seen(
                    completions: ["a/- ok", "b/a state-not-saved", "c/- state-not-saved"], names: ["a"],
                    warnings: [.stateNotSaved]))
        // Said once in the log, although it happened twice.
        #expect(log.lines.count == 1, "\(log.lines)")
        disk.fail()
        try await change(desk, [(nil, "c")])
        let end = try await seen(desk, after: 4)
        #expect(end.completions.last == "c/- ok" && end.names == ["a", "c"] && end.warnings.isEmpty)
        #expect(contents(of: home("eiced/forwards.json"))?.contains("\"c\"") == true)
    }

    @Test("a failure that comes back after a success is said again")
    func saidAgain() async throws {
        let desk = await desk()
        for (index, code) in [EIO, 0, EIO].enumerated() {
            disk.fail(file: code)
            try await change(desk, [(nil, "a"), ("a", nil)])
            _ = try await seen(desk, after: 2 * (index + 1))
        }
        #expect(log.lines.count == 2, "\(log.lines)")
    }

    @Test("a save takes back the warning that nothing could be saved, and no other")
    func warnings() async throws {
        let desk = await desk([Failure(.stateNotSaved, "x"), Failure(.malformedFile, "y")])
        #expect(try await seen(desk, after: 0).warnings == [.stateNotSaved, .malformedFile])
        try await change(desk, [(nil, "a")])
        #expect(try await seen(desk, after: 1).warnings == [.malformedFile])
    }

    @Test("the same failure at the start and at a save is one warning")
    func oneWarning() async throws {
        // Without a home nothing can be saved, which the start says already.
        let forwards = ForwardsDisk(folderPath: nil)
        let desk = await desk(forwards.load(at: WallTime(secondsSinceEpoch: 1_772_357_400)).warnings, on: forwards)
        try await change(desk, [(nil, "a")])
        #expect(
            try await seen(desk, after: 1)
                == Seen(completions: ["a/- state-not-saved"], names: [], warnings: [.stateNotSaved]))
    }
}
