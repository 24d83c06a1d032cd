import ServiceManager
import SocketIO

/// What a service manager gave to this process, and the way to it. Everything in it is there without one, and empty.
struct ServiceContext: Sendable {
    var notifier: Notifier
    /// Sockets that nobody took yet.
    var adopted: AdoptedSockets
    /// The ways to processes that handed over earlier and drain.
    var predecessors: [(name: String, channel: FileDescriptor)] = []
    /// How often the service manager wants a sign of life; nil: never.
    var watchdogInterval: Duration?
    var starts: StartRecord?
    /// How long connections wait at the start.
    var hold = Duration.zero

    /// Takes over what was passed. Once, at the start, before there are threads: it changes the environment.
    ///
    /// - Parameter inherited: what an earlier process passed on, in place of the service manager.
    static func take(inherited: AdoptedSockets?) throws(SystemError) -> ServiceContext {
        var adopted = try AdoptedSockets.take()
        if let inherited { adopted = inherited }
        let notifier = Notifier()
        let record = StartRecord.begin(&adopted, notifier: notifier)
        let names = adopted.names.filter { $0.hasPrefix(HandoverName.predecessor) }
        let predecessors = names.flatMap { name in adopted.remove(named: name).map { (name, $0) } }
        return ServiceContext(
            notifier: notifier, adopted: adopted, predecessors: predecessors,
            watchdogInterval: Notifier.watchdogInterval(), starts: record?.record,
            hold: inherited == nil ? CrashLoop.hold(after: record?.ages ?? []) : .zero)
    }
}
