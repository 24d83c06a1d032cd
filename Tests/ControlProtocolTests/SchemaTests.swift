import ControlCodec
import Failures
import FoundationEssentials
import TestSupport
import Testing

@testable import ControlProtocol

/// Real messages, of every kind and with every field, held against the schema that users read.
@Suite struct SchemaTests {
    let schema: JSONSchema

    init() throws {
        let text = Data(try Repository.text("docs/control-protocol.schema.json").utf8)
        schema = JSONSchema(root: try JSONDecoder().decode(JSONValue.self, from: text))
    }

    func check(_ line: [UInt8], is definition: String, _ general: String) throws {
        let value = try ControlWire.decode(JSONValue.self, from: line)
        let text = String(decoding: line, as: UTF8.self)
        #expect(try schema.problems(of: value, definition: definition) == [], "\(text)")
        // An event's or a reply's general form has several that match; a request matches its own form alone.
        #expect(try schema.problems(of: value, definition: general) == [], "\(text)")
    }

    @Test(arguments: Samples.requests) func requestFitsTheSchema(_ sample: Samples.Request) throws {
        try check(sample.line, is: "request.\(sample.method)", "request")
        let (id, request) = try ControlRequest.parse(sample.line.dropLast())
        #expect(id == .number(3))
        #expect(request == sample.request)
    }

    @Test(arguments: Samples.replies) func replyFitsTheSchema(_ sample: Samples.Reply) throws {
        try check(sample.line, is: "reply.\(sample.method)", "reply")
    }

    @Test func everyMethodHasItsMessages() throws {
        guard case .object(let definitions) = schema.root["$defs"] else {
            Issue.record("no $defs")
            return
        }
        let methods = Set(definitions.keys.filter { $0.hasPrefix("request.") }.map { String($0.dropFirst(8)) })
        #expect(Set(Samples.requests.map(\.method)) == methods)
        #expect(Set(Samples.replies.map(\.method)) == methods)
    }

    @Test func errorsFitTheSchema() throws {
        for id in [RequestID.number(1), .string("a"), .null] {
            for hint in [nil, "eicectl ls"] {
                let failure = Failure(.unknownForward, "no forward is called \"x\"", why: "a\nb", hint: hint)
                let line = try ControlWire.line(ErrorEnvelope(id: id, error: ErrorObject(failure)))
                try check(line, is: "error", "reply")
                #expect(line.filter { $0 == ControlWire.newline }.count == 1)
            }
        }
    }

    @Test(arguments: Samples.events) func eventFitsTheSchema(_ event: ControlEvent) throws {
        let line = try ControlWire.line(EventEnvelope(event))
        try check(line, is: "event", "event")
        #expect(try ControlWire.decode(EventEnvelope.self, from: line) == EventEnvelope(event))
    }

    @Test func noticesFitTheSchema() throws {
        for hint in [nil, "aws sso login"] {
            let envelope = NoticeEnvelope(ConnectNotice(.login, "the log-in \"ended\"", hint: hint))
            let line = try ControlWire.line(envelope)
            try check(line, is: "notice", "notice")
            #expect(try ControlWire.decode(NoticeEnvelope.self, from: line) == envelope)
            #expect(QuickConnect.isNotification(line) && !QuickConnect.isResult(line))
        }
    }

    @Test func theCheckerFindsWhatIsWrong() throws {
        func problems(_ text: String) throws -> [String] {
            try schema.problems(of: ControlWire.decode(JSONValue.self, from: text.utf8), definition: "mapping").sorted()
        }
        #expect(try problems(#"{"remotePort":22,"local":{"port":2222}}"#) == [])
        #expect(try problems(#"{"local":{"port":2222}}"#) == ["$.remotePort is missing"])
        #expect(try problems(#"{"remotePort":70000}"#) == ["$.remotePort is above 65535"])
        #expect(try problems(#"{"remotePort":"22"}"#) == ["$.remotePort is no integer"])
        #expect(try problems(#"{"remotePort":22,"local":{"port":1,"path":"/x"}}"#) == ["$.local matches 0 of oneOf"])
        #expect(try problems(#"{"remotePort":22,"remote":1}"#) == ["$.remote is not in the schema"])
    }
}
