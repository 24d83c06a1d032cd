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
        #expect(Notification.store(name: "f.db.4").text == "FDSTORE=1\nFDNAME=f.db.4")
        #expect(Notification.removeStored(name: "f.db.6").text == "FDSTOREREMOVE=1\nFDNAME=f.db.6")
        #expect(Notification.mainProcess(42).text == "MAINPID=42")
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

    @Test func aDescriptorIsStoredWithItsName() async {
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryDirectory()
            let path = folder("notify")
            let receiver = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            let address = try #require(SocketAddress(unixPath: path))
            try #require(address.withSockaddr { bind(receiver, $0, $1) } == 0)
            setenv("NOTIFY_SOCKET", path, 1)
            let file = FileDescriptor(takingOwnership: open("/dev/null", O_RDONLY | O_CLOEXEC))
            let notifier = Notifier()
            notifier.store(file, as: "f.db.4")
            var bytes = [UInt8](repeating: 0, count: 512)
            var descriptors = [CInt](repeating: -1, count: CLINUX_MAX_DESCRIPTORS)
            var count = 0
            var truncated: CInt = 0
            let length = clinux_receive_descriptors(
                receiver, &bytes, bytes.count, Int32(MSG_DONTWAIT), &descriptors, &count, &truncated)
            #expect(String(decoding: bytes[..<max(0, length)], as: UTF8.self) == "FDSTORE=1\nFDNAME=f.db.4")
            #expect(count == 1 && truncated == 0)

            // A predecessor that has handed over must not speak for the service any more.
            notifier.silence()
            notifier.watchdog()
            #expect(recv(receiver, &bytes, bytes.count, Int32(MSG_DONTWAIT)) == -1 && errno == EAGAIN)
        }
    }

    @Test func startsAreRememberedByTheFileThatIsKept() async {
        await #expect(processExitsWith: .success) {
            setenv("NOTIFY_SOCKET", "/nobody/listens/here", 1)
            var nothing = AdoptedSockets()
            let first = try #require(StartRecord.begin(&nothing, notifier: Notifier()))
            #expect(first.ages.isEmpty)
            func again() throws -> [Duration] {
                var passed = AdoptedSockets(descriptors: [try first.record.file.duplicate()], names: ["starts"])
                return try #require(StartRecord.begin(&passed, notifier: Notifier())).ages
            }
            #expect(try again().count == 1)
            let ages = try again()
            #expect(ages.count == 2 && ages.allSatisfy { $0 >= .zero } && ages[0] >= ages[1])
            first.record.clear()
            #expect(try again().isEmpty)
            for _ in 0..<100 { _ = try again() }
            #expect(try again().count == 63)
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
