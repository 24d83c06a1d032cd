import ServiceManager
import SocketIO

/// What a service manager gave to this process, and the way to it. Everything in it is there without one, and empty.
struct ServiceContext: Sendable {
    var notifier: Notifier
    /// Sockets that nobody took yet.
    var adopted: AdoptedSockets
    /// How often the service manager wants a sign of life; nil: never.
    var watchdogInterval: Duration?
    var starts: StartRecord?
    /// How long connections wait at the start.
    var hold = Duration.zero

    /// Takes over what was passed. Once, at the start, before there are threads: it changes the environment.
    static func take() throws(SystemError) -> ServiceContext {
        var adopted = try AdoptedSockets.take()
        let notifier = Notifier()
        let record = StartRecord.begin(&adopted, notifier: notifier)
        return ServiceContext(
            notifier: notifier, adopted: adopted, watchdogInterval: Notifier.watchdogInterval(), starts: record?.record,
            hold: CrashLoop.hold(after: record?.ages ?? []))
    }
}
