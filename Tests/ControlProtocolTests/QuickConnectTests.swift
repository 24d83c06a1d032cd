import ControlCodec
import Testing

@testable import ControlProtocol

@Suite struct QuickConnectTests {
    @Test(arguments: [
        ConnectParameters(target: "i-1", remotePort: 22),
        ConnectParameters(
            target: "a \"b\"\\\n\u{1}ü/", remotePort: 3389, handoff: true, notices: true, options: Samples.options),
        ConnectParameters(
            target: "", remotePort: 0, options: TunnelOptions(environment: CallerEnvironment(accessKeyID: "AKID"))),
    ]) func isReadBackAsWhatItWas(_ parameters: ConnectParameters) throws {
        var framing = LineFraming()
        framing.append(QuickConnect.request(parameters, client: "test 1"))
        guard case .line(let hello) = framing.next(), case .line(let connect) = framing.next() else {
            Issue.record("not two lines")
            return
        }
        #expect(framing.pending == 0)
        #expect(try ControlRequest.parse(hello) == (.number(1), .hello(HelloParameters(client: "test 1"))))
        #expect(try ControlRequest.parse(connect) == (.number(2), .connect(parameters)))
    }

    @Test func resultAndErrorAreToldApart() throws {
        let result = try ControlWire.line(
            ResultEnvelope(id: .number(2), result: ConnectResult(tunnel: "\"error\":{", handoff: false)))
        #expect(QuickConnect.isResult(result))
        let error = try ControlWire.line(
            ErrorEnvelope(id: .number(2), error: ErrorObject(.init(.deadline, "\"result\":", why: "{\"result\":1}"))))
        #expect(!QuickConnect.isResult(error))
        #expect(!QuickConnect.isResult(try ControlWire.line(EventEnvelope(Samples.events[0]))))
        #expect(!QuickConnect.isResult(Array("HTTP/1.1 200 OK".utf8)))
        #expect(!QuickConnect.isResult([]))
        #expect(QuickConnect.isNotification(try ControlWire.line(EventEnvelope(Samples.events[0]))))
        for line in [result, error, []] { #expect(!QuickConnect.isNotification(line)) }
    }
}
