import ControlProtocol
import Failures
import SocketIO
import TestSupport
import Testing

@testable import Daemon

@Suite struct EventFeedTests {
    @Test func theLastHundredAreKeptInOrder() async throws {
        let loop = try Loop(label: "test")
        let kept: [Int] = await withCheckedContinuation { continuation in
            loop.submit { loop in
                let feed = EventFeed()
                for number in 1...(EventFeed.capacity + 7) {
                    feed.needsLogin(NeededLogin(command: "\(number)"), on: loop)
                }
                continuation.resume(returning: feed.recent.compactMap { $0.login.flatMap { Int($0.command) } })
            }
        }
        #expect(kept == Array(8...(EventFeed.capacity + 7)))
    }

    @Test func aNeededLoginNamesTheCommand() {
        let failure = Failure(.needsLogin, "the session of dev is over", hint: "aws sso login --profile dev")
        #expect(NeededLogin(profile: "dev", failure).command == "aws sso login --profile dev")
    }
}
