import ControlCodec
import ControlProtocol
import Failures
import Testing

@testable import EicectlCommands
@testable import EicectlProxy

/// What people see, as they see it.
@Suite struct OutputTests {
    let now = Timestamp(milliseconds: 1_772_357_400_000)
    let web = ForwardInfo(
        name: "web", target: "i-0abc", remotePort: 22, addresses: ["127.0.0.1:2222", "[::1]:2222"], profile: "dev",
        region: "eu-west-1", endpoint: "eice-1", tunnels: 2, maxDuration: 3600)
    var open: ForwardInfo {
        ForwardInfo(
            name: "open", target: "10.0.1.5", remotePort: 3389, addresses: ["0.0.0.0:13389"], state: .failed,
            lastFailure: FailureRecord(
                when: now, failure: Failure(.noEndpoint, "no endpoint in vpc-1", hint: "create one")),
            maxDuration: 60, ephemeral: true, remoteAllowed: true)
    }
    var tunnel: TunnelInfo {
        TunnelInfo(
            id: "t7", forward: "web", target: "i-0abc", remotePort: 22, endpoint: "eice-1", state: .open,
            since: now.adding(seconds: -3700), bytesLocalToRemote: 999, bytesRemoteToLocal: 209_715_200,
            peer: "127.0.0.1:50122", expiresAt: now.adding(seconds: 59))
    }
    var endpoint: EndpointInfo {
        EndpointInfo(
            id: "eice-1", dnsName: "eice-1.x", region: "eu-west-1", slots: .init(inUse: 20, cap: 20), queued: 3)
    }

    @Test func addSaysWhatItListensOn() {
        #expect(
            Output.added([web]) == "web: listening on 127.0.0.1:2222 and [::1]:2222 for i-0abc port 22\n")
    }

    @Test func addSaysWhatDoesNotListenYet() {
        #expect(
            Output.added([open])
                == "open: not listening yet, for 10.0.1.5 port 3389: no endpoint in vpc-1 (create one)\n")
    }

    @Test func statusBeginsWithWhatNeedsSomebody() {
        let status = StatusResult(
            pid: 42, uptime: 1, socket: "/s",
            warnings: [FailureRecord(when: now, failure: Failure(.malformedFile, "the file", why: "is bad"))])
        #expect(
            Output.status(status, at: now, .plain).hasPrefix(
                "eiced \(EICEDVersion.current), pid 42, up 1s, /s\nwarning: the file: is bad\n"))
    }

    @Test func forwardsAreATable() {
        #expect(
            Output.forwards([web, open], .plain) == """
                NAME  TARGET    PORT  LISTENS ON                  PROFILE  REGION     ENDPOINT  TUNNELS  STATE
                web   i-0abc    22    127.0.0.1:2222, [::1]:2222  dev      eu-west-1  eice-1    2        listening
                open  10.0.1.5  3389  0.0.0.0:13389               -        -          -         0        failed, open to other hosts, ephemeral
                last failure of open: no endpoint in vpc-1 (create one)

                """)
        #expect(Output.forwards([], .plain) == "no forwards: eicectl add TARGET REMOTE[:LOCAL] makes one\n")
    }

    @Test func tunnelsAreATable() {
        #expect(
            Output.tunnels([tunnel], at: now, .plain) == """
                ID  FORWARD  TARGET  PORT  STATE  LIVENESS  AGE   LEFT  SENT   RECEIVED  PEER             ENDPOINT
                t7  web      i-0abc  22    open   unknown   1h1m  59s   999 B  200 MiB   127.0.0.1:50122  eice-1

                """)
    }

    @Test func endpointsAreATable() {
        #expect(
            Output.endpoints([endpoint], .plain) == """
                ENDPOINT  REGION     SLOTS  WARM  SPARES  WAITING  DNS NAME
                eice-1    eu-west-1  20/20  -     -       3        eice-1.x

                """)
    }

    @Test func whatTheServiceRefusesAndWhySparesArePausedIsSaid() {
        let since = now.adding(seconds: -600)
        let until = now.adding(seconds: 3_000)
        let endpoint = EndpointInfo(
            id: "eice-1", dnsName: "eice-1.x", region: "eu",
            slots: .init(inUse: 12, cap: 12, limit: 20, refusedSince: since, warm: 2),
            spares: .init(ready: 0, pausedUntil: until, why: "the service closed two"))
        #expect(
            Output.endpoints([endpoint], .plain) == """
                ENDPOINT  REGION  SLOTS                                        WARM  SPARES  WAITING  DNS NAME
                eice-1    eu      12/20, service refuses above 12 since \(since.clock)  2     0       0        eice-1.x
                no spares for eice-1 until \(until.clock), since the service closed two

                """)
    }

    @Test func whoWaitsIsShownWithWhatForAndHowLong() {
        func waiting(_ id: String, _ wait: TunnelInfo.Wait?, endpoint: String? = nil) -> TunnelInfo {
            TunnelInfo(
                id: id, target: "i-1", remotePort: 22, endpoint: endpoint, state: .queued,
                since: now.adding(seconds: -7), peer: "p", waitsFor: wait)
        }
        let status = StatusResult(
            pid: 1, uptime: 5, socket: "/s",
            tunnels: [
                waiting("t1", .slot, endpoint: "eice-1"), waiting("t2", .login), waiting("t3", .lookup),
                waiting("t4", nil, endpoint: "eice-1"), waiting("t5", nil), tunnel,
            ])
        #expect(
            Output.waiting(status, at: now, .plain) == """

                WAITING  TARGET  FOR               AGE  PEER
                t1       i-1:22  a slot of eice-1  7s   p
                t2       i-1:22  a log-in          7s   p
                t3       i-1:22  its look-up       7s   p
                t4       i-1:22  a slot of eice-1  7s   p
                t5       i-1:22  its look-up       7s   p

                """)
    }

    @Test func statusShowsEverythingAtOnce() {
        let status = StatusResult(
            version: "0.0.9", pid: 42, uptime: 90_061, socket: "/run/user/1000/eiced/control.sock", forwards: [web],
            tunnels: [tunnel], endpoints: [endpoint],
            recentFailures: [
                FailureRecord(
                    when: now.adding(seconds: -30), failure: Failure(.targetUnreachable, "a", why: "b\nc"),
                    subject: "web")
            ], needsLogin: [NeededLogin(profile: "dev", command: "aws sso login --profile dev")])
        #expect(
            Output.status(status, at: now, .plain) == """
                eiced 0.0.9, pid 42, up 1d1h, /run/user/1000/eiced/control.sock
                eiced 0.0.9 is running, \(EICEDVersion.current) is installed: eicectl shutdown --handover
                login needed for dev: aws sso login --profile dev

                \(Output.forwards([web], .plain))
                \(Output.tunnels([tunnel], at: now, .plain))
                \(Output.endpoints([endpoint], .plain))
                LATEST FAILURES
                30s ago  web: a: b c

                """)
    }

    @Test func idleDaemonsStatusIsShort() {
        #expect(
            Output.status(StatusResult(pid: 1, uptime: 5, socket: "/s"), at: now, .plain) == """
                eiced \(EICEDVersion.current), pid 1, up 5s, /s

                no forwards: eicectl add TARGET REMOTE[:LOCAL] makes one

                no tunnels

                """)
    }

    @Test func failureIsErrorThenHint() {
        let failure = Failure(
            .daemonUnreachable, "cannot reach eiced at /s", why: "no such file", hint: "systemctl --user start eiced")
        #expect(
            Report.lines(failure) == """
                eicectl: error: cannot reach eiced at /s: no such file
                eicectl: hint: systemctl --user start eiced

                """)
        #expect(Report.lines(Failure(.usage, "a\nb")) == "eicectl: error: a\neicectl:        b\n")
    }

    @Test func otherResultsAreOneLineEach() {
        #expect(Output.reloaded(ReloadResult()) == "nothing changed\n")
        #expect(Output.reloaded(ReloadResult(added: ["a", "b"], removed: ["c"])) == "added a, b\nremoved c\n")
        #expect(Output.stopping(ShutdownResult(tunnels: 0, drain: 10)) == "eiced ends\n")
        #expect(Output.stopping(ShutdownResult(tunnels: 2, drain: 90)) == "eiced ends; 2 open tunnels have 1m30s\n")
        let versions = VersionCommand.Versions(eicectl: "1", protocol: ProtocolVersion(major: 1, minor: 0))
        #expect(Output.versions(versions, "no such file") == "eicectl 1\neiced does not answer: no such file\n")
    }

    @Test func jsonIsTheResultItself() throws {
        let text = try Output.json(ForwardListResult(forwards: [web]))
        #expect(try ControlWire.decode(ForwardListResult.self, from: text.utf8) == ForwardListResult(forwards: [web]))
    }

    @Test(arguments: [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (10_240, "10 KiB"), (1_048_575, "1.0 MiB"),
        (209_715_200, "200 MiB"), (UInt64.max, "16 EiB"),
    ]) func sizesAreShort(_ bytes: UInt64, _ text: String) {
        #expect(Output.size(bytes) == text)
    }

    @Test(arguments: [(0, "0s"), (59, "59s"), (60, "1m"), (3661, "1h1m"), (3601, "1h"), (266_400, "3d2h")])
    func agesHaveTwoUnitsAtMost(_ seconds: Int, _ text: String) {
        #expect(Output.shortly(seconds) == text)
    }

    @Test func coloursAreForTerminalsThatWantThem() {
        func wants(_ terminal: Bool, _ environment: [String: String]) -> Bool {
            Style.wantsColour(isTerminal: terminal, environment: { environment[$0] })
        }
        #expect(wants(true, [:]))
        #expect(wants(true, ["NO_COLOR": ""]))
        #expect(!wants(true, ["NO_COLOR": "1"]))
        #expect(!wants(true, ["TERM": "dumb"]))
        #expect(!wants(false, [:]))
        #expect(Output.endpoints([endpoint], Style(colour: true)).contains("\u{1B}[31m20/20\u{1B}[0m"))
        #expect(!Output.endpoints([endpoint], .plain).contains("\u{1B}"))
    }

    @Test func namesCannotControlTheTerminal() {
        var table = Table(["A", "B"])
        table.add(plain: ["x\u{1B}[2J", "y\n"])
        #expect(table.text(.plain) == "A           B\nx\\u{1B}[2J  y\\n\n")
    }

    /// A daemon of another release, or one that was fooled: nothing that it says moves the cursor or begins a line.
    private static let hostile = [
        "a\u{1B}[2Jb", "a\r\neiced ends", "a\u{85}b", "a\u{2028}b", "a\u{9B}2Jb", "a\u{202E}b", "a\tb",
    ]

    @Test("no text of the daemon controls the terminal or begins a line", arguments: hostile)
    func foreignText(text: String) throws {
        let failure = Failure(.internal, text, why: text, hint: text)
        let record = FailureRecord(when: .init(milliseconds: 0), failure: failure, subject: text)
        var forward = ForwardInfo(
            name: text, target: text, remotePort: 22, addresses: [text], profile: text, region: text, endpoint: text,
            maxDuration: 1)
        forward.lastFailure = record
        let endpoint = EndpointInfo(
            id: text, dnsName: text, region: text, slots: .init(inUse: 1, cap: 2), lastFailure: record,
            spares: .init(ready: 0, pausedUntil: .init(milliseconds: 0), why: text))
        let harmless = Output.forwards(
            [ForwardInfo(name: "a", target: "b", remotePort: 22, addresses: ["c"], maxDuration: 1)], .plain)
        let texts = [
            Output.forwards([forward], .plain), Output.endpoints([endpoint], .plain), Output.added([forward]),
            Output.notices(
                StatusResult(
                    version: text, pid: 1, uptime: 1, socket: text, forwards: [], tunnels: [], endpoints: [],
                    recentFailures: [], needsLogin: [NeededLogin(profile: text, command: text)], warnings: [record]),
                .plain),
        ]
        for shown in texts {
            #expect(!shown.unicodeScalars.contains { ForeignText.isUnsafe($0) && $0 != "\n" }, "\(shown)")
            #expect(!shown.split(separator: "\n").contains { $0.hasPrefix("eiced ends") }, "\(shown)")
        }
        #expect(texts[0].split(separator: "\n").count == harmless.split(separator: "\n").count + 1)
        for json in [try Output.json(forward), try Output.jsonLine(forward)] {
            #expect(!json.unicodeScalars.contains { ForeignText.isUnsafe($0) && $0 != "\n" }, "\(json)")
        }
        #expect(!Report.lines(failure).unicodeScalars.contains { ForeignText.isUnsafe($0) && $0 != "\n" })
    }
}
