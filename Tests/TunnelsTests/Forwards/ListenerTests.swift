import Failures
import Glibc
import InstanceConnect
import Logging
import SocketIO
import TestSupport
import Testing

@testable import Tunnels

@Suite struct ListenerBindingTests {
    @Test func aPortThatAForwardOfOursHasIsRefusedWithItsName() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let port = try await bench.forward()
        let failure = await #expect(throws: Failure.self) {
            try await bench.add(try Bench.specification("other", local: .port(port)))
        }
        #expect(failure?.kind == .cannotListen)
        #expect(failure?.hint?.contains("the forward web listens on port \(port)") == true)
    }

    private func refusal(_ local: ForwardSpecification.Local, _ address: String? = nil) -> Failure? {
        do throws(Failure) {
            try ListenerBinding.bind(local, bindAddress: address).close()
            return nil
        } catch {
            return error
        }
    }

    private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    @Test func bothLoopbackAddressesGetOneNumber() async throws {
        let binding = try ListenerBinding.bind(.port(0), bindAddress: nil)
        defer { binding.close() }
        let port = try #require(binding.addresses.first?.port)
        #expect(port != 0)
        #expect(binding.addresses.allSatisfy { $0.port == port && $0.isLoopback })
        #expect(binding.addresses.first?.host == "127.0.0.1")
        for address in binding.addresses {
            let family: LoopbackSocket.Family = address.family == .ipv4 ? .ipv4 : .ipv6
            try await onThread { try LoopbackSocket.connect(port: port, family: family).close() }
        }
    }

    @Test func portConflictIsExplained() throws {
        let first = try ListenerBinding.bind(.port(0), bindAddress: "127.0.0.1")
        defer { first.close() }
        let port = try #require(first.addresses.first?.port)
        for address in [nil, "127.0.0.1"] {
            let failure = try #require(refusal(.port(port), address))
            #expect(failure.kind == .cannotListen)
            #expect(failure.kind.exitCode == 73)
            #expect(failure.sentence == "cannot listen on 127.0.0.1:\(port): address already in use")
            #expect(failure.hint?.contains("choose another port") == true)
        }
    }

    private static var hasIPv6: Bool {
        SocketAddress(ip: "::1", port: 0).flatMap { try? Listener.bind(to: $0) } != nil
    }

    /// The first family's socket must not stay bound.
    @Test(.enabled(if: hasIPv6)) func aConflictInOneFamilyTakesNeither() throws {
        let other = try Listener.bind(to: #require(SocketAddress(ip: "::1", port: 0)))
        let port = try #require(SocketAddress.local(of: other)?.port)
        let failure = try #require(refusal(.port(port)))
        #expect(failure.what == "cannot listen on [::1]:\(port)")
        try ListenerBinding.bind(.port(port), bindAddress: "127.0.0.1").close()
    }

    @Test("a port that needs privileges is explained", .enabled(if: hasPrivilegedPorts))
    func privilegedPort() async {
        await #expect(processExitsWith: .exitCode(0)) {
            // Root may listen on every port.
            if geteuid() == 0, setuid(65_534) != 0 { exit(1) }
            do throws(Failure) {
                try ListenerBinding.bind(.port(1), bindAddress: nil).close()
            } catch {
                let isExplained = error.hint == "ports below 1024 need privileges: choose a higher one"
                exit(error.kind == .cannotListen && isExplained ? 0 : 2)
            }
            exit(3)
        }
    }

    /// ip(7), ip_unprivileged_port_start.
    private static var hasPrivilegedPorts: Bool {
        contents(of: "/proc/sys/net/ipv4/ip_unprivileged_port_start") == "1024\n"
    }

    @Test func badAddressesAreNamed() throws {
        #expect(refusal(.port(0), "localhost")?.why == "it is no IP address")
        let foreign = try #require(refusal(.port(0), "192.0.2.1"))
        #expect(foreign.kind == .cannotListen)
        #expect(foreign.hint == "give an address of this host")
    }

    @Test func pathsThatNoSocketCanHaveAreNamed() throws {
        let long = "/tmp/" + String(repeating: "x", count: 103)
        let failure = try #require(refusal(.path(long)))
        #expect(failure.kind == .cannotListen)
        #expect(failure.why.contains("at most 107 bytes"))
        #expect(refusal(.path("relative"))?.why == "the path of a socket must be absolute")
        #expect(refusal(.path("/nonexistent/s"))?.why == "no such file or directory")
    }

    @Test func aUnixSocketIsForItsOwnerAloneAndGoesWithItsListener() throws {
        let folder = try TemporaryDirectory()
        let binding = try ListenerBinding.bind(.path(folder("s")), bindAddress: nil)
        var information = stat()
        #expect(lstat(folder("s"), &information) == 0)
        #expect(information.st_mode & 0o777 == 0o600)
        binding.close()
        #expect(!exists(folder("s")))
    }

    @Test func aStaleSocketIsReplaced() throws {
        let folder = try TemporaryDirectory()
        try Listener.bind(to: #require(SocketAddress(unixPath: folder("s")))).close()
        #expect(exists(folder("s")))
        try ListenerBinding.bind(.path(folder("s")), bindAddress: nil).close()
    }

    @Test func aSocketThatSomebodyAnswersOnIsLeft() async throws {
        let folder = try TemporaryDirectory()
        let other = try Listener.bind(to: #require(SocketAddress(unixPath: folder("s"))))
        let failure = try #require(refusal(.path(folder("s"))))
        #expect(failure.why == "address already in use")
        #expect(failure.hint == "another program listens there: choose another path")
        try await onThread { try LoopbackSocket.connect(path: folder("s")).close() }
        other.close()
    }

    @Test(
        "a socket in a folder that others may write to is refused, like the control socket",
        arguments: [0o777, 0o1777, 0o770, 0o702])
    func sharedFolder(mode: mode_t) throws {
        let folder = try TemporaryDirectory()
        try folder.makeDirectory("shared")
        chmod(folder("shared"), mode)
        let failure = try #require(refusal(.path(folder("shared/s"))))
        #expect(failure.kind == .cannotListen)
        #expect(failure.what == "will not put a forward's socket into \(folder("shared"))")
        #expect(failure.why == "others can write there, and could replace the socket")
        #expect(!exists(folder("shared/s")))
        chmod(folder("shared"), 0o755)
        try ListenerBinding.bind(.path(folder("shared/s")), bindAddress: nil).close()
    }

    @Test(
        "neither another user's folder nor another user's link to one's own is used",
        .enabled(if: geteuid() == 0, "only root can give a folder away"))
    func foreignFolder() throws {
        let folder = try TemporaryDirectory()
        try folder.makeDirectory("theirs")
        chown(folder("theirs"), 65_534, 65_534)
        #expect(refusal(.path(folder("theirs/s")))?.kind == .cannotListen)
        try folder.makeDirectory("ours")
        symlink(folder("ours"), folder("link"))
        try ListenerBinding.bind(.path(folder("link/s")), bindAddress: nil).close()
        lchown(folder("link"), 65_534, 65_534)
        #expect(refusal(.path(folder("link/s")))?.why == "it is a symbolic link of another user")
    }

    @Test func anotherFileIsNeverTouched() throws {
        let folder = try TemporaryDirectory()
        try folder.write("notes", "precious")
        #expect(refusal(.path(folder("notes")))?.why == "there is something else at this path")
        #expect(contents(of: folder("notes")) == "precious")
        #expect(symlink(folder("notes"), folder("link")) == 0)
        #expect(refusal(.path(folder("link")))?.why == "there is something else at this path")
    }

    @Test func aFileThatTookTheSocketsPlaceOutlivesIt() throws {
        let folder = try TemporaryDirectory()
        let binding = try ListenerBinding.bind(.path(folder("s")), bindAddress: nil)
        unlink(folder("s"))
        try folder.write("s", "precious")
        binding.close()
        #expect(contents(of: folder("s")) == "precious")
    }
}

@Suite struct ForwardTableTests {
    private func reserve(_ bench: Bench, _ specifications: [ForwardSpecification]) async -> Failure? {
        await bench.onControl { tables, _ in
            do throws(Failure) {
                let reservation = try tables.forwards.reserve(specifications)
                tables.forwards.cancel(reservation)
                return nil
            } catch {
                return error
            }
        }
    }

    private func names(_ bench: Bench) async -> [String] {
        await bench.onControl { tables, _ in tables.forwards.all.map(\.specification.name) }
    }

    @Test func severalForwardsAreReservedTogetherOrNotAtAll() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let taken = try ListenerBinding.bind(.port(0), bindAddress: "127.0.0.1")
        defer { taken.close() }
        let folder = try TemporaryDirectory()
        let one = try Bench.specification("one", local: .path(folder("s")))
        let port = try #require(taken.addresses.first?.port)
        let two = try Bench.specification("two", local: .port(port))
        #expect(await reserve(bench, [one, two])?.kind == .cannotListen)
        #expect(access(folder("s"), F_OK) != 0)
        #expect(await names(bench).isEmpty)
        // Both names are free again.
        let again = try [one, Bench.specification("two")]
        #expect(await reserve(bench, again) == nil)
    }

    @Test func namesAreGivenOnce() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        try await bench.add(Bench.specification("web"))
        let web = try Bench.specification("web")
        let failure = try #require(await reserve(bench, [web]))
        #expect(failure.kind == .nameTaken)
        #expect(failure.kind.exitCode == 65)
        let twins = try [Bench.specification("twin"), Bench.specification("twin")]
        #expect(await reserve(bench, twins)?.kind == .nameTaken)
        #expect(await names(bench) == ["web"])
    }

    @Test func aReservedNameIsTakenUntilItIsCancelled() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let specification = try Bench.specification("web")
        let kinds = await bench.onControl { tables, _ -> [Failure.Kind?] in
            guard let reservation = try? tables.forwards.reserve([specification]) else { return [] }
            var kinds: [Failure.Kind?] = []
            for _ in 0..<2 {
                do throws(Failure) {
                    tables.forwards.cancel(try tables.forwards.reserve([specification]))
                    kinds.append(nil)
                } catch {
                    kinds.append(error.kind)
                }
                tables.forwards.cancel(reservation)
            }
            return kinds
        }
        #expect(kinds == [.nameTaken, nil])
    }

    @Test(arguments: ["", "a b", "ünder", "x/y", String(repeating: "n", count: 65)])
    func namesThatAreNoneAreRefused(name: String) async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let specification = try Bench.specification(name)
        #expect(await reserve(bench, [specification])?.kind == .invalidRequest)
    }

    @Test func moreForwardsThanTheLimitAreRefused() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let many = try (0...ForwardTable.limit).map { try Bench.specification("f\($0)") }
        #expect(await reserve(bench, many)?.kind == .tooManyForwards)
    }

    @Test func removingAnUnknownForwardRemovesNone() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        try await bench.add(Bench.specification("web"))
        let kind = await bench.onControl { tables, loop -> Failure.Kind? in
            do throws(Failure) {
                try tables.forwards.remove(["web", "other"], on: loop)
                return nil
            } catch {
                return error.kind
            }
        }
        #expect(kind == .unknownForward)
        #expect(await names(bench) == ["web"])
    }

    @Test func connectionsThatCameBeforeTheCommitAreServed() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let folder = try TemporaryDirectory()
        let specification = try Bench.specification(local: .path(folder("s")))
        let reservation = try #require(
            await bench.onControl { tables, loop in
                (try? tables.forwards.reserve([specification])).map { LoopBound($0, on: loop) }
            })
        let client = try await onThread { try LoopbackSocket.connect(path: folder("s")) }
        #expect(await bench.states().isEmpty)
        await bench.onControl { tables, loop in
            _ = tables.forwards.commit(reservation.get(on: loop), on: loop)
        }
        let answer = try await onThread {
            try client.write("hello")
            return try client.read(exactly: 5)
        }
        #expect(answer == Array("hello".utf8))
    }
}
