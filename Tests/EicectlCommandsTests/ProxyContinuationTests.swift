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
        #expect(CommandsProgram.path(of: Array(own.utf8)) { _ in true } == Array(expected.utf8))
        #expect(CommandsProgram.eicectl(of: Array(expected.utf8)) == Array(own.utf8))
    }

    @Test func commandsBesideIsTakenWhereNoneIsInstalled() {
        #expect(
            CommandsProgram.path(of: Array("/home/a/bin/eicectl".utf8)) { _ in false }
                == Array("/home/a/bin/eicectl-commands".utf8))
        // Replaced while it runs.
        #expect(
            CommandsProgram.path(of: Array("/usr/bin/eicectl (deleted)".utf8)) { _ in true }
                == Array("/usr/libexec/eiced/eicectl-commands".utf8))
    }
}
