import Testing

@testable import Daemon

@Suite struct NearestNameTests {
    private let names = ["remote_port", "local", "max_duration", "idle_timeout", "tls"]

    @Test(arguments: [
        ("remot_port", "remote_port"), ("remoteport", "remote_port"), ("remote-port", "remote_port"),
        ("Local", "local"), ("lcoal", "local"), ("max_durration", "max_duration"), ("idle_time", "idle_timeout"),
        ("lts", "tls"), ("max", "max_duration"), ("remo", "remote_port"),
    ])
    func findsWhatWasMeant(text: String, name: String) {
        #expect(NearestName.of(text, among: names) == name)
    }

    @Test(arguments: ["", "x", "colour", "port_of_the_remote", String(repeating: "l", count: 10_000)])
    func guessesNothingThatIsFar(text: String) {
        #expect(NearestName.of(text, among: names) == nil)
    }

    @Test func theBeginningOfSeveralIsNone() {
        #expect(NearestName.of("timeo", among: ["timeout_of_tls", "timeout_of_proxy"]) == nil)
    }

    @Test func hasNothingToSuggestWithoutNames() {
        #expect(NearestName.of("x", among: []) == nil)
    }
}
