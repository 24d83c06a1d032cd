import ControlProtocol
import Glibc
import TestSupport
import Testing

/// The units as a user manager has them: what starts the daemon, and what it tells.
@Suite(.enabled("no box for systemd can be made on this machine") { try await SystemdBox.canBeMade })
struct SystemdTests {
    @Test func theFirstCallStartsTheDaemon() async throws {
        try await SystemdBox.play { box in
            try await box.systemctl("enable", "--now", "eiced.socket")
            #expect(try await box.property("ActiveState") == "inactive")
            let status = try await box.json(StatusResult.self, "status")
            #expect(try await box.property("ActiveState") == "active")
            #expect(status.pid == (try await box.mainProcess()))
        }
    }

    @Test func anotherUserIsRefusedAtTheSocket() async throws {
        try await SystemdBox.play { box in
            try await box.systemctl("enable", "--now", "eiced.socket", "eiced.service")
            let folder = "/run/user/\(SystemdBox.aliceID)"
            let socket = "\(folder)/eiced/control.sock"
            let closed = try await box.run(.mallory, "env", "EICED_SOCKET=\(socket)", "eicectl", "status")
            #expect(closed.code == 69 || closed.code == 77, "\(closed)")
            // Even where every door stands open, and for root, to whom all doors are open: the kernel tells who it is.
            try await box.run(.root, "chmod", "o+rwx", folder, "\(folder)/eiced", socket)
            for user in [SystemdBox.User.mallory, .root] {
                let refused = try await box.run(user, "env", "EICED_SOCKET=\(socket)", "eicectl", "status")
                #expect(refused.code == 69 || refused.code == 77, "\(refused)")
                #expect(refused.output.isEmpty)
            }
            let entries = try await box.journal("PRIORITY=4")
            #expect(entries.count { $0["EICED_UID"] == "5802" } == 1, "\(entries)")
            #expect(entries.count { $0["EICED_UID"] == "0" } == 1, "\(entries)")
        }
    }
}
