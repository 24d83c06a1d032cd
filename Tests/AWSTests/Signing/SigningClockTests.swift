import Basics
import Failures
import Logging
import Synchronization
import TestSupport
import Testing

@testable import AWS

@Suite struct SigningClockTests {
    private static let now = WallTime(secondsSinceEpoch: 1_790_000_000)
    private let clock = SigningClock({ SigningClockTests.now })
    private let ec2 = SigningClock.Party.service("ec2.eu-west-1.amazonaws.com")
    private let sts = SigningClock.Party.service("sts.amazonaws.com")
    private let endpoint = SigningClock.Party.endpoint("eice-1.example.com")
    private let other = SigningClock.Party.endpoint("eice-2.example.com")

    private func time(_ offset: Int64) -> WallTime { Self.now.advanced(by: offset) }

    @Test(
        "a clock that is hours or days off is corrected once, and back",
        arguments: [60, 3_600, -50_400, 3 * 86_400, -5 * 86_400])
    func plausibleOffsets(offset: Int64) {
        #expect(clock.learn(serverTime: time(30), from: ec2) == .known)
        #expect(clock.learn(serverTime: time(offset), from: ec2) == .learned)
        #expect(clock.now(for: ec2) == time(offset) && clock.correction == offset)
        #expect(clock.learn(serverTime: time(offset + 1), from: ec2) == .known)
        // It was set right meanwhile.
        #expect(clock.learn(serverTime: time(0), from: ec2) == .learned)
        #expect(clock.correction == 0)
    }

    @Test(
        "the year 1, 1970, 2030 and 9999 are not believed",
        arguments: ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2030-06-01T00:00:00Z", "9999-12-31T23:59:59Z"])
    func implausibleYears(text: String) throws {
        let time = try #require(WallTime(rfc3339: text))
        for party in [ec2, endpoint] {
            #expect(clock.learn(serverTime: time, from: party) == .implausible)
            #expect(clock.now(for: party) == Self.now)
        }
        #expect(clock.now() == Self.now)
    }

    @Test("many plausible steps do not add up to an implausible one") func steps() {
        for step in 1...20 { _ = clock.learn(serverTime: time(Int64(step) * 86_400), from: ec2) }
        #expect(clock.now(for: ec2) == time(7 * 86_400))
    }

    @Test("a service's Date moves signatures for that service alone") func services() {
        clock.confirm(sts)
        #expect(clock.learn(serverTime: time(86_400), from: ec2) == .learned)
        #expect(clock.now(for: ec2) == time(86_400))
        #expect(clock.now(for: sts) == Self.now)
        #expect(clock.now(for: .service("ec2.us-east-1.amazonaws.com")) == Self.now)
        // Another service is content with the machine's clock, so credentials are judged by that.
        #expect(clock.now() == Self.now)
    }

    @Test("an endpoint's Date moves nobody else's clock") func endpoints() {
        #expect(clock.learn(serverTime: time(7_200), from: endpoint) == .learned)
        #expect(clock.now(for: endpoint) == time(7_200))
        #expect(clock.now(for: other) == Self.now && clock.now(for: ec2) == Self.now && clock.now() == Self.now)
    }

    @Test("an endpoint is believed only as far as the API agrees") func agreement() {
        clock.confirm(ec2)
        #expect(clock.learn(serverTime: time(7_200), from: endpoint) == .contradicted)
        #expect(clock.now(for: endpoint) == Self.now)
        // The API takes signatures that are minutes off, and a presigned address is old after one.
        #expect(clock.learn(serverTime: time(120), from: endpoint) == .learned)
        #expect(clock.learn(serverTime: time(7_200), from: ec2) == .learned)
        #expect(clock.now(for: other) == time(7_200))
    }

    @Test("what was learned is void once the machine's clock is set") func settings() {
        let set = Mutex<Int64>(0)
        let clock = SigningClock(
            { SigningClockTests.now.advanced(by: set.withLock { $0 }) }, setting: { set.withLock { $0 } })
        #expect(clock.learn(serverTime: time(7_200), from: ec2) == .learned)
        set.withLock { $0 = 7_200 }
        #expect(clock.now(for: ec2) == time(7_200) && clock.correction == 0)
        #expect(clock.learn(serverTime: time(0), from: endpoint) == .learned, "the API was not asked since")
    }

    @Test("a call that is refused with the Date of another decade is not signed again, and nobody else's is another")
    func oneRefusal() async throws {
        let stub = try HTTPStub { request in
            request.header("x-amz-date")?.hasPrefix("2026") == true
                ? .init(400, headers: [("Date", "Sat, 01 Jun 2030 00:00:00 GMT")], EC2Tests.error("RequestExpired"))
                : .init(200, EC2Tests.instances(""))
        }
        let context = AWSContext(
            environment: Environment([
                "AWS_ENDPOINT_URL_EC2": stub.url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            ]), clock: clock, logger: Logger(label: "test"))
        let ec2 = EC2(context: context, profile: nil, region: "eu-west-1")
        let failure = await #expect(throws: Failure.self) { try await ec2.describeInstances(purpose: "look") }
        #expect(failure?.kind == .accessDenied && failure?.hint?.contains("timedatectl") == true)
        #expect(stub.requests.count == 1)
        #expect(context.clock.correction == 0)
    }
}
