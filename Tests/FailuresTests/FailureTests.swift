import Failures
import Testing

@Suite struct FailureTests {
    @Test func sentenceJoinsWhatAndWhy() {
        let failure = Failure(
            .cannotListen, "cannot listen on 127.0.0.1:22", why: "permission denied", hint: "use 2222")
        #expect(failure.sentence == "cannot listen on 127.0.0.1:22: permission denied")
        #expect(failure.description == "cannot listen on 127.0.0.1:22: permission denied (use 2222)")
        #expect(Failure(.usage, "no target given").sentence == "no target given")
    }

    @Test func unknownKindIsOurFault() {
        #expect(Failure.Kind(rawValue: "from-the-future").exitCode == 70)
    }
}
