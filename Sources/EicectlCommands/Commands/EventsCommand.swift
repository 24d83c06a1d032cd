import ArgumentParser
import ControlClient
import ControlProtocol
import EicectlProxy
import Failures
import Glibc

struct EventsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Show what happened last, or what happens from now on.",
        discussion: """
            eicectl events                           about the last hundred, then exit
            eicectl events --follow                  from now on, until interrupted
            eicectl events --follow --json tunnel.closed tunnel.expiring

            Kinds: \(ControlEvent.Kind.all.map(\.rawValue).joined(separator: ", ")).
            With --json each event is one line.
            """)

    @Argument(
        help: ArgumentHelp("Only events of these kinds.", valueName: "kind"),
        completion: .list(ControlEvent.Kind.all.map(\.rawValue)))
    var kinds: [String] = []

    @Flag(name: .shortAndLong, help: "Show what happens from now on.")
    var follow = false

    @OptionGroup var common: CommonOptions

    func run() throws {
        let kinds = try wanted()
        guard follow else {
            let result = try Session.call(Methods.EventsRecent.self, EventsRecentParameters(events: kinds), common)
            Report.answer(try result.events.map(text).joined())
            return
        }
        let path = try SocketPath.find(option: common.socket)
        let client = try ControlClient(path: path, client: Eicectl.name)
        try client.call(Methods.EventsSubscribe.self, EventsSubscribeParameters(events: kinds))
        while let event = try client.nextEvent(watching: STDOUT_FILENO) {
            Report.answer(try text(event))
            // Nobody reads, or the disk is full: `eicectl events -f | head -1` has had what it wanted.
            if Report.isOver { return }
        }
        // A reader that went is why the wait ended, and no failure.
        if Report.readerIsGone { return }
        throw Failure(.connectionLost, "lost eiced at \(path)", why: "it ended", hint: "journalctl --user -u eiced")
    }

    /// Nil for all. A kind that nobody knows would be waited for in vain.
    private func wanted() throws(Failure) -> [ControlEvent.Kind]? {
        guard !kinds.isEmpty else { return nil }
        for kind in kinds where !ControlEvent.Kind.all.contains(ControlEvent.Kind(rawValue: kind)) {
            throw Failure(.usage, "\"\(kind)\" is no kind of event", hint: "eicectl help events lists them")
        }
        // That some were left out is worth knowing whatever one waits for.
        return kinds.map(ControlEvent.Kind.init) + [.eventsDropped]
    }

    private func text(_ event: ControlEvent) throws -> String {
        common.json ? try Output.jsonLine(event) : EventText.line(event)
    }
}
