import CLinux
import Glibc
import SocketIO
import TestSupport
import Testing

@testable import ServiceManager

@Suite struct NotifierTests {
    @Test func eachNotificationIsAssignments() {
        #expect(Notification.ready(status: "2 forwards").text == "READY=1\nSTATUS=2 forwards")
        #expect(Notification.stopping(status: "draining").text == "STOPPING=1\nSTATUS=draining")
        #expect(Notification.reloading(monotonicMicroseconds: 7).text == "RELOADING=1\nMONOTONIC_USEC=7")
        #expect(Notification.extendTimeout(.milliseconds(1_500)).text == "EXTEND_TIMEOUT_USEC=1500000")
        #expect(Notification.watchdog.text == "WATCHDOG=1")
    }

    @Test func aStatusCannotForgeAnotherAssignment() {
        #expect(Notification.status("db\nMAINPID=1").text == "STATUS=db\\nMAINPID=1")
    }

    // In processes of their own, since they change the environment.

    @Test func theServiceManagerHearsWhatIsSaid() async throws {
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryDirectory()
            let path = folder("notify")
            let receiver = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            let address = try #require(SocketAddress(unixPath: path))
            try #require(address.withSockaddr { bind(receiver, $0, $1) } == 0)
            setenv("NOTIFY_SOCKET", path, 1)
            setenv("WATCHDOG_USEC", "30000000", 1)
            unsetenv("WATCHDOG_PID")
            #expect(Notifier.watchdogInterval() == .seconds(30))
            let notifier = Notifier()
            notifier.ready(status: "0 forwards")
            notifier.reloading()
            var buffer = [UInt8](repeating: 0, count: 512)
            let first = recv(receiver, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            #expect(String(decoding: buffer[..<max(0, first)], as: UTF8.self) == "READY=1\nSTATUS=0 forwards")
            let second = recv(receiver, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            let text = String(decoding: buffer[..<max(0, second)], as: UTF8.self)
            #expect(text.hasPrefix("RELOADING=1\nMONOTONIC_USEC=") && text.utf8.count > 28)
        }
    }

    @Test func withoutAServiceManagerNothingHappens() async {
        await #expect(processExitsWith: .success) {
            unsetenv("NOTIFY_SOCKET")
            unsetenv("WATCHDOG_USEC")
            Notifier().ready(status: "")
            #expect(Notifier.watchdogInterval() == nil)
        }
    }
}
