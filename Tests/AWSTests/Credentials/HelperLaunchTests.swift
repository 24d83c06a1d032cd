import Testing

@testable import AWS

@Suite struct HelperLaunchTests {
    private let words = ["helper", "a $HOME b", "$1"]
    private let sandboxed = Environment([
        "EICED_SANDBOX": "drop-in", "AWS_SECRET_ACCESS_KEY": "hidden", "INVOCATION_ID": "1",
    ])

    @Test func outsideOfASandboxItIsAChild() {
        let launch = HelperLaunch(
            words, unit: "u", environment: Environment(["A": "b"]), timeout: .seconds(60), hasServiceManager: true)
        #expect(launch.arguments == words && launch.sandbox == nil && launch.ending == nil)
    }

    @Test func insideItIsAUnitThatGetsItsVariablesByName() throws {
        let launch = HelperLaunch(
            words, unit: "u", environment: sandboxed, timeout: .seconds(60), hasServiceManager: true)
        #expect(launch.sandbox == nil && launch.arguments.first == "systemd-run")
        #expect(launch.arguments.contains("--unit=u") && launch.ending?.last == "u.service")
        #expect(launch.arguments.contains("--setenv=AWS_SECRET_ACCESS_KEY"))
        #expect(
            !launch.arguments.contains {
                $0.contains("hidden") || $0.contains("INVOCATION_ID") || $0.contains("SANDBOX")
            })
        #expect(launch.arguments.contains("--property=RuntimeMaxSec=61"))
        // The service manager makes one `$` of two, and would put a variable's value in place of one.
        let end = try #require(launch.arguments.firstIndex(of: "--"))
        #expect(
            Array(launch.arguments[(end + 1)...]) == [
                "/bin/sh", "-c", #"exec "$$0" "$$@""#, "helper", "a $$HOME b", "$$1",
            ])
    }

    @Test func withoutAServiceManagerItIsAChildAndTheSandboxIsNamed() {
        let launch = HelperLaunch(
            words, unit: "u", environment: sandboxed, timeout: .seconds(60), hasServiceManager: false)
        #expect(launch.arguments == words && launch.sandbox == "drop-in" && launch.ending == nil)
    }
}
