import Glibc
import TestSupport
import Testing

@testable import EicectlCommands

@Suite struct ServiceHintTests {
    @Test func onlyAUnitThatIsInstalledAndNotEnabledIsWorthAWord() throws {
        let folder = try TemporaryDirectory()
        let (own, system) = (try folder.makeDirectory("own"), try folder.makeDirectory("system"))
        let hint = ServiceHint(folders: [own, system])
        #expect(hint.text == nil)
        try folder.write("system/eiced.service", "")
        #expect(hint.text?.contains("systemctl --user enable --now eiced.socket eiced.service") == true)
        // As `systemctl enable` leaves it.
        try folder.makeDirectory("own/default.target.wants")
        #expect(symlink("/nowhere/eiced.service", folder("own/default.target.wants/eiced.service")) == 0)
        #expect(hint.text == nil)
    }

    @Test func foldersAreThoseOfTheUserManager() {
        #expect(ServiceHint(home: "/home/a", configuration: nil).folders.first == "/home/a/.config/systemd/user")
        #expect(ServiceHint(home: "/home/a", configuration: "/c").folders.first == "/c/systemd/user")
        #expect(ServiceHint(home: nil, configuration: nil).folders.first == "/etc/systemd/user")
    }
}
