import Glibc
import TestSupport
import Testing

/// How the programs are linked, which `scripts/hardening.sh` looks at. `make build` lets nothing pass that it objects to.
@Suite struct HardeningTests {
    private static let isStatic = getenv("EICED_TEST_EICECTL") != nil

    private func check(_ program: String) async throws -> CommandResult {
        try await ChildProcess.run("\(Repository.root)/scripts/hardening.sh", [program])
    }

    @Test(.enabled(if: isStatic, "eicectl beside the tests is not the one that is installed"))
    func eicectlIsHardenedAndHasNothingToStartProgramsWith() async throws {
        for program in [BuiltProducts.eicectl, BuiltProducts.eicectlCommands] {
            let result = try await check(program)
            #expect(result.code == 0 && result.errors.isEmpty, "\(result)")
            let segments = try await ChildProcess.run("/usr/bin/readelf", ["-lW", program])
            #expect(segments.output.contains("LOAD") && !segments.output.contains("INTERP"), "it is not static")
        }
    }

    /// What a dependency brings along costs each `ssh` its share of the start, unnoticed.
    @Test(.enabled(if: isStatic, "eicectl beside the tests is not the one that is installed"))
    func eicectlIsSmallAndHasNothingThatProxyDoesWithout() async throws {
        let folder = try TemporaryDirectory()
        for (program, limit) in [(BuiltProducts.eicectl, 8_000_000), (BuiltProducts.eicectlCommands, 16_000_000)] {
            let stripped = folder("stripped")
            let result = try await ChildProcess.run("/usr/bin/strip", ["-o", stripped, program])
            #expect(result.code == 0, "\(result)")
            var status = stat()
            #expect(stat(stripped, &status) == 0 && status.st_size < limit, "\(program) has \(status.st_size) bytes")
        }
        let names = try await ChildProcess.run("/usr/bin/nm", [BuiltProducts.eicectl])
        #expect(names.output.contains("main"))
        for unwanted in ["_dispatch_queue_attrs", "swift_task_create", "JSONDecoder", "ArgumentParser"] {
            #expect(!names.output.contains(unwanted), "\(unwanted)")
        }
        let others = try await ChildProcess.run("/usr/bin/nm", [BuiltProducts.eicectlCommands])
        #expect(others.output.contains("JSONDecoder"), "what is looked for has another name")
    }

    @Test func whatIsNotHardenedIsNamed() async throws {
        // A debug build binds its symbols late, has its libraries beside it, and knows no bounds.
        let result = try await check(BuiltProducts.eiced)
        #expect(result.code == 1, "\(result)")
        #expect(result.errors.contains("\(BuiltProducts.eiced) resolves symbols while it runs"), "\(result)")
        #expect(result.errors.contains("looks for libraries where it stands"), "\(result)")
        // Sanitizers come with functions of the same names.
        if Sanitizer.isAbsent { #expect(result.errors.contains("without _FORTIFY_SOURCE"), "\(result)") }
    }

    @Test func whatCouldStartAProgramIsNamed() async throws {
        // The daemon starts helpers; under the companion's name it may not.
        let folder = try TemporaryDirectory()
        #expect(symlink(BuiltProducts.eiced, folder("eicectl")) == 0)
        let result = try await check(folder("eicectl"))
        #expect(result.code == 1 && result.errors.contains("could start other programs"), "\(result)")
        #expect(result.errors.contains("clinux_spawn_helper"), "\(result)")
    }
}
