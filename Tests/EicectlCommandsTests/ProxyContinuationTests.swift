import ControlConnect
import Testing

@testable import EicectlProxy

@Suite struct ProxyContinuationTests {
    @Test(arguments: [
        ProxyContinuation.replies(.hello, session: 3), .replies(.connect, session: 12),
        .ended(.ended, answer: #"{"result":{}}"#), .ended(.silent, answer: ""), .ended(.failed(104), answer: "x y"),
    ]) func isReadBackAsWhatItWas(_ continuation: ProxyContinuation) {
        #expect(ProxyContinuation(continuation.words) == continuation)
    }

    @Test(arguments: [
        [], ["hello"], ["hello", "-1"], ["hello", "x"], ["hello", "3", "4"], ["bye", "3"], ["ended-", ""],
        ["ended-0", ""],
        ["ended-badly", ""], ["ended", "normally"],
    ]) func whatIsNoneIsRefused(_ words: [String]) {
        #expect(ProxyContinuation(words) == nil)
    }

    @Test(arguments: [
        ("/usr/bin/eicectl", "/usr/libexec/eiced/eicectl-commands"),
        ("/bin/eicectl", "/libexec/eiced/eicectl-commands"),
        ("/home/a/bin/eicectl", "/home/a/libexec/eiced/eicectl-commands"),
        ("/opt/eiced/eicectl", "/opt/eiced/eicectl-commands"),
    ]) func commandsAreWhereTheyAreInstalledOrBuilt(_ own: String, _ expected: String) {
        #expect(CommandsProgram.path(of: own) { _ in true } == expected)
        #expect(CommandsProgram.eicectl(of: expected) == own)
    }

    @Test func commandsBesideIsTakenWhereNoneIsInstalled() {
        #expect(
            CommandsProgram.path(of: "/home/a/bin/eicectl") { _ in false }
                == "/home/a/bin/eicectl-commands")
        // Replaced while it runs.
        #expect(
            CommandsProgram.path(of: "/usr/bin/eicectl (deleted)") { _ in true }
                == "/usr/libexec/eiced/eicectl-commands")
    }
}
