import CLinux
import Failures
import Glibc
import ServiceManager
import SocketIO

/// What a new process gets of an old one that goes on until its tunnels have ended. Received before there are loops.
struct Inheritance: Sendable {
    /// Leads to the old process, for the rest of its life.
    let channel: FileDescriptor
    /// By the names that the service manager would have used.
    var descriptors = AdoptedSockets()
    /// Forwards that are in no file.
    var forwards: [SavedForward] = []

    /// How long the old process may be silent.
    private static let patience = Duration.seconds(10)

    /// Where a process that was started to take over finds its channel. The variable is removed.
    static func channelFromEnvironment() -> FileDescriptor? {
        guard let text = ProcessStart.variable(SuccessorProgram.variable), let raw = CInt(text) else {
            return nil
        }
        unsetenv(SuccessorProgram.variable)
        guard fcntl(raw, F_SETFD, FD_CLOEXEC) == 0 else { return nil }
        return FileDescriptor(takingOwnership: raw)
    }

    /// Receives all of it. Blocks.
    ///
    /// - Throws: when the old process ends, or is silent for too long.
    static func receive(from channel: FileDescriptor) throws(Failure) -> Inheritance {
        guard let peer = try? PeerCredentials(of: channel), peer.uid == geteuid() else {
            throw broken("it belongs to another user")
        }
        var inheritance = Inheritance(channel: channel)
        var deadline = ContinuousClock.now + patience
        while true {
            let received: HandoverSocket.Received
            do throws(SystemError) {
                received = try HandoverSocket.receive(from: channel)
            } catch {
                throw broken(error.reason)
            }
            switch received {
            case .packet(let packet):
                deadline = .now + patience
                if inheritance.take(packet) { return inheritance }
            case .unknown: break
            case .end: throw broken("it ended")
            case .nothing:
                let left = ContinuousClock.now.duration(to: deadline)
                guard left > .zero else { throw broken("it is silent") }
                var waiting = pollfd(fd: channel.raw, events: Int16(POLLIN), revents: 0)
                _ = poll(&waiting, 1, CInt(clamping: Int(left / .milliseconds(1)) + 1))
            }
        }
    }

    /// - Returns: whether that was all.
    private mutating func take(_ packet: HandoverPacket) -> Bool {
        switch packet.message.kind {
        case .descriptors:
            if let name = packet.message.name { descriptors.add(packet.descriptors, named: name) }
        case .forward:
            if let forward = packet.message.forward { forwards.append(forward) }
        case .complete: return true
        default: break
        }
        return false
    }

    private static func broken(_ why: String) -> Failure {
        Failure(.handoverFailed, "cannot take over from the eiced that runs", why: why)
    }

    /// Tells the old process that this one cannot: it goes on, and may say why.
    static func refuse(_ failure: Failure, over channel: FileDescriptor) {
        guard channel.isOpen else { return }
        _ = try? HandoverSocket.send(
            HandoverPacket(message: HandoverMessage(.failed, failure: failure)), on: channel)
    }
}
