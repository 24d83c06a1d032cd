import ControlCodec
import ControlProtocol
import Failures
import TestSupport
import Testing

@Suite struct TunnelSettingTests {
    @Test("a command line and a request are refused with one sentence")
    func refusals() throws {
        let cases: [(text: String, options: TunnelOptions)] = [
            ("", TunnelOptions(profile: "")), ("EU", TunnelOptions(region: "EU")), ("x", TunnelOptions(endpoint: "x")),
            ("a b", TunnelOptions(endpointDNSName: "a b")), ("0s", TunnelOptions(maxDuration: 0)),
            ("2h", TunnelOptions(maxDuration: 7_200)), ("25h", TunnelOptions(idleTimeout: 90_000)),
        ]
        for (text, options) in cases {
            let setting = try #require(TunnelSetting.all.first { $0.isSet(in: options) })
            var parsed = TunnelOptions()
            let typed = #expect(throws: Failure.self) { try setting.parse(text, into: &parsed) }
            let sent = #expect(throws: Failure.self) { try options.check(as: .invalidRequest) }
            #expect(typed?.sentence == sent?.sentence && typed?.hint == sent?.hint, "\(setting.name)")
            #expect(typed?.kind == .usage && sent?.kind == .invalidRequest && parsed == TunnelOptions())
        }
    }

    @Test("a limit is accepted at its bounds and refused beyond them, typed or sent")
    func bounds() {
        for setting in TunnelSetting.all {
            guard let range = setting.range else { continue }
            let zero = setting.zero != nil
            for (seconds, isAllowed) in [
                (range.lowerBound - 1, zero), (range.lowerBound, true), (range.upperBound, true),
                (range.upperBound + 1, false),
            ] {
                var options = TunnelOptions()
                #expect(setting.read("\(seconds)", into: &options) == isAllowed, "\(setting.name) \(seconds)")
            }
        }
        #expect(throws: Never.self) { try TunnelOptions(maxDuration: 3_600, idleTimeout: 0).check(as: .usage) }
        #expect(throws: Failure.self) { try TunnelOptions(idleTimeout: -1).check(as: .usage) }
    }

    @Test("each setting goes over the wire under its name, and has one name everywhere")
    func names() throws {
        for setting in TunnelSetting.all {
            let options = TunnelOptions(with: setting)
            let line = try ControlWire.line(options)
            #expect(String(decoding: line, as: UTF8.self).hasPrefix("{\"\(setting.name)\":"))
            #expect(try ControlWire.decode(TunnelOptions.self, from: line) == options)
        }
        for names in [TunnelSetting.all.map(\.name), TunnelSetting.all.map(\.option), TunnelSetting.all.map(\.key)] {
            #expect(Set(names).count == TunnelSetting.all.count)
        }
    }

    @Test("settings that belong together are taken from one side")
    func groups() {
        var pinned = TunnelOptions(endpoint: "eice-2")
        pinned.fill(from: TunnelOptions(region: "r", endpoint: "eice-1", endpointDNSName: "one.example"))
        #expect(pinned == TunnelOptions(region: "r", endpoint: "eice-2"))
        var free = TunnelOptions(idleTimeout: 0)
        free.fill(from: TunnelOptions(endpoint: "eice-1", endpointDNSName: "one.example", idleTimeout: 60))
        #expect(free == TunnelOptions(endpoint: "eice-1", endpointDNSName: "one.example", idleTimeout: 0))
    }
}
