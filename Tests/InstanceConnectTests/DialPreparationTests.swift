import AWS
import Testing
import Transport

@testable import InstanceConnect

@Suite struct DialPreparationTests {
    private func signed(_ route: Route, _ seconds: Int) -> SignedTunnel {
        let credentials = OpenTunnelURLTests.credentials(token: nil)
        return SignedTunnel(
            url: OpenTunnelURL(
                route: route, maxDuration: seconds, credentials: credentials, at: OpenTunnelURLTests.time),
            credentials: credentials)
    }

    @Test("a signer, which keeps credentials, is used once and not too late")
    func signer() {
        let now = ContinuousClock.now
        let preparation = DialPreparation(trust: nil, signer: signed, until: now + .seconds(5))
        #expect(preparation.takeSigner(at: now + .seconds(4)) != nil)
        #expect(preparation.takeSigner(at: now + .seconds(4)) == nil)
        let late = DialPreparation(trust: nil, signer: signed, until: now + .seconds(5))
        #expect(late.takeSigner(at: now + .seconds(5)) == nil)
        #expect(late.takeSigner(at: now) == nil, "what is too old is dropped")
    }

    @Test("secrets of each request of a tunnel stay hidden, and one correction is allowed over all its dials")
    func shared() {
        let preparation = DialPreparation(trust: nil, signer: nil, until: .now)
        preparation.hide(["first-signature"])
        preparation.hide(["second-signature", nil])
        let shown = preparation.redaction.text("first-signature or second-signature", limit: 100)
        #expect(!shown.contains("first-signature") && !shown.contains("second-signature"))
        #expect(preparation.takeCorrection())
        #expect(!preparation.takeCorrection())
    }
}
