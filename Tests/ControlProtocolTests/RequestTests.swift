import ControlCodec
import Failures
import Testing

@testable import ControlProtocol

@Suite struct RequestTests {
    func refusal(_ text: String) -> ControlRequest.Refusal? {
        do {
            _ = try ControlRequest.parse(text.utf8)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        ("", -32700), ("{", -32700), ("hello", -32700), ("{\"jsonrpc\" 2}", -32700), ("\u{FF}", -32700),
        ("[]", -32600), ("3", -32600), ("null", -32600), ("{}", -32600),
        (#"{"jsonrpc":"2.0","method":"status"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":null,"method":"status"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1.5,"method":"status"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":{},"method":"status"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
    ]) func whatIsNoRequestIsRefusedWithoutAnID(_ text: String, _ code: Int) {
        let refusal = refusal(text)
        #expect(refusal?.id == .null)
        #expect(refusal?.error.code == code)
        #expect(refusal?.error.data.kind == .invalidRequest)
    }

    @Test(arguments: [
        (#"{"id":1,"method":"status"}"#, -32600), (#"{"jsonrpc":"1.0","id":1,"method":"status"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1}"#, -32600), (#"{"jsonrpc":"2.0","id":1,"method":"nonsense"}"#, -32601),
        (#"{"jsonrpc":"2.0","id":1,"method":"hello"}"#, -32602),
        (#"{"jsonrpc":"2.0","id":1,"method":"connect","params":[]}"#, -32602),
        (#"{"jsonrpc":"2.0","id":1,"method":"connect","params":{"target":"i-1"}}"#, -32602),
        (#"{"jsonrpc":"2.0","id":1,"method":"connect","params":{"target":"i-1","remotePort":65536}}"#, -32602),
        (#"{"jsonrpc":"2.0","id":1,"method":"connect","params":{"target":"i-1","remotePort":-1}}"#, -32602),
        (#"{"jsonrpc":"2.0","id":1,"method":"tunnel.list","params":{"forward":3}}"#, -32602),
    ]) func aWrongRequestIsRefusedUnderItsID(_ text: String, _ code: Int) {
        let refusal = refusal(text)
        #expect(refusal?.id == .number(1))
        #expect(refusal?.error.code == code)
    }

    @Test func refusalNamesTheFieldThatIsWrong() {
        let missing = refusal(#"{"jsonrpc":"2.0","id":"a","method":"connect","params":{"target":"i-1"}}"#)
        #expect(missing?.error.message == "cannot understand connect: params.remotePort is missing")
        let wrong = refusal(
            #"{"jsonrpc":"2.0","id":1,"method":"forward.add","params":{"target":"i","mappings":[{"remotePort":"22"}]}}"#
        )
        #expect(
            wrong?.error.message == "cannot understand forward.add: params.mappings[0].remotePort has the wrong type")
        let both = refusal(
            #"{"jsonrpc":"2.0","id":1,"method":"forward.add","params":{"target":"i","mappings":[{"remotePort":1,"local":{}}]}}"#
        )
        #expect(
            both?.error.message
                == "cannot understand forward.add: params.mappings[0].local: expected either port or path")
    }

    @Test func unknownMethodHasItsOwnKind() {
        let refusal = refusal(#"{"jsonrpc":"2.0","id":1,"method":"forward.fly"}"#)
        #expect(refusal?.error.data.kind == .unknownMethod)
        #expect(refusal?.error.data.kind.exitCode == 65)
    }

    @Test func unknownFieldsAreIgnoredAndParametersMayBeLeftOut() throws {
        let (id, request) = try ControlRequest.parse(
            #"{"jsonrpc":"2.0","id":"s","method":"tunnel.list","colour":1}"#.utf8)
        #expect(id == .string("s"))
        #expect(request == .tunnelList(.init()))
        let (_, connect) = try ControlRequest.parse(
            #"{"jsonrpc":"2.0","id":1,"method":"connect","params":{"target":"i","remotePort":22,"handoff":null,"new":{}}}"#
                .utf8)
        #expect(connect == .connect(.init(target: "i", remotePort: 22)))
    }

    @Test func errorCarriesTheFailureThereAndBack() throws {
        for kind in [Failure.Kind.unknownForward, .cannotListen, .throttled, .foreignSocket, .noCredentials] {
            let failure = Failure(kind, "what", why: "why", hint: "hint")
            let line = try ControlWire.line(ErrorEnvelope(id: .number(1), error: ErrorObject(failure)))
            let back = try ControlWire.decode(ReplyHead.self, from: line)
            #expect(back.error?.data == failure)
            #expect(back.error?.code == Int(kind.exitCode))
            #expect(back.error?.message == "what: why")
        }
    }

    @Test func kindFromTheFutureSurvives() throws {
        let line =
            #"{"id":1,"jsonrpc":"2.0","error":{"code":99,"message":"m","data":{"kind":"new","what":"w","why":""}}}"#
        let head = try ControlWire.decode(ReplyHead.self, from: line.utf8)
        #expect(head.error?.data.kind.rawValue == "new")
        #expect(head.error?.data.kind.exitCode == 70)
        let bare = try ControlWire.decode(ReplyHead.self, from: #"{"id":1,"error":{"code":1,"message":"m"}}"#.utf8)
        #expect(bare.error?.data.what == "m")
    }
}
