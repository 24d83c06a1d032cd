import AWS
import Basics
import Failures
import Glibc
import TestSupport
import Testing
import Tunnels

@testable import Daemon

/// The state file on a real file system.
@Suite struct ForwardsDiskTests {
    private let time = WallTime(secondsSinceEpoch: 1_772_357_400)
    private let home: TemporaryDirectory
    private let folder: String
    private let file: String

    init() throws {
        home = try TemporaryDirectory("state")
        folder = home("state/eiced")
        file = home("state/eiced/forwards.json")
    }

    private func disk() -> ForwardsDisk { ForwardsDisk(folderPath: folder) }

    private func saved(_ names: String...) throws -> [SavedForward] { try names.map { SavedForward(try .sample($0)) } }

    private func place(_ text: String) throws {
        try home.makeDirectory("state")
        try home.makeDirectory("state/eiced")
        try home.write("state/eiced/forwards.json", text)
    }

    private func mode(_ path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
    }

    private func kind(_ body: () throws -> Void) -> Failure.Kind? {
        do {
            try body()
            return nil
        } catch {
            return (error as? Failure)?.kind
        }
    }

    @Test func whatIsSavedIsThereAfterARestart() throws {
        let forwards = try saved("a", "b")
        do {
            let disk = disk()
            #expect(disk.load(at: time).forwards.isEmpty)
            try disk.save(forwards)
            try disk.save(forwards)
        }
        let loaded = disk().load(at: time)
        #expect(loaded.forwards == forwards && loaded.warnings.isEmpty)
        #expect(mode(folder) == 0o700 && mode(file) == 0o600)
    }

    @Test("forwards that would not be read at the next start are refused, and those before stay")
    func tooLarge() throws {
        let disk = disk()
        _ = disk.load(at: time)
        let few = try saved("a")
        try disk.save(few)
        var large = few
        large[0].tunnel.profile = String(repeating: "p", count: StateFolder.longestFile)
        #expect(kind { try disk.save(large) } == .tooManyForwards)
        // The longest that is written is read: the limit is one.
        large[0].tunnel.profile = String(repeating: "p", count: StateFolder.longestFile - 1_000)
        try disk.save(large)
        disk.letGo()
        let loaded = self.disk().load(at: time)
        #expect(loaded.forwards == large && loaded.warnings.isEmpty)
    }

    @Test func aFolderThatOthersCanReadIsClosedToThem() throws {
        try home.makeDirectory("state")
        try home.makeDirectory("state/eiced", mode: 0o755)
        _ = disk().load(at: time)
        #expect(mode(folder) == 0o700)
    }

    @Test func aDamagedFileIsSetAsideUnderANameThatIsTold() throws {
        try place("{\"version\": 1, \"forw")
        let disk = disk()
        let loaded = disk.load(at: time)
        #expect(loaded.forwards.isEmpty)
        let aside = "\(file).damaged-\(time.amzDate)"
        #expect(loaded.warnings.count == 1 && loaded.warnings.first?.hint?.contains(aside) == true)
        #expect(contents(of: aside) == "{\"version\": 1, \"forw")
        try disk.save(saved("a"))
        #expect(contents(of: file) != nil && contents(of: aside) != nil)
    }

    @Test func aSecondDamagedFileDoesNotReplaceTheFirst() throws {
        for text in ["one", "two", "three"] {
            try place(text)
            _ = disk().load(at: time)
        }
        let aside = "\(file).damaged-\(time.amzDate)"
        #expect(contents(of: aside) == "one" && contents(of: "\(aside)-2") == "two")
        #expect(contents(of: "\(aside)-3") == "three")
    }

    @Test func aFileFromTheFutureIsLeftAloneUntilItIsGone() throws {
        let next = ForwardsFile.version + 1
        let text = #"{"version": \#(next), "forwards": {"new": true}}"#
        try place(text)
        let disk = disk()
        let loaded = disk.load(at: time)
        #expect(loaded.forwards.isEmpty && loaded.warnings.first?.why.contains("version \(next)") == true)
        #expect(kind { try disk.save(saved("a")) } == .stateNotSaved)
        #expect(contents(of: file) == text)
        unlink(file)
        try disk.save(saved("a"))
        #expect(contents(of: file)?.contains("\"version\" : 2") == true)
    }

    @Test func aLinkInPlaceOfTheFileIsNotFollowed() throws {
        let other = try home.write("other", "precious")
        try home.makeDirectory("state")
        try home.makeDirectory("state/eiced")
        #expect(symlink(other, file) == 0)
        #expect(symlink(other, "\(file).new") == 0)
        let disk = disk()
        let loaded = disk.load(at: time)
        #expect(loaded.warnings.first?.why == "it is a symbolic link")
        try disk.save(saved("a"))
        #expect(contents(of: other) == "precious")
        #expect(disk.load(at: time).forwards.map(\.name) == ["a"])
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a link away"))
    func aLinkInPlaceOfTheFolderThatSomebodyElsePlantedIsNotFollowed() throws {
        let other = try home.makeDirectory("other")
        try home.makeDirectory("state")
        #expect(symlink(other, folder) == 0)
        #expect(lchown(folder, 1, 1) == 0)
        let disk = disk()
        #expect(disk.load(at: time).warnings.count == 1)
        #expect(kind { try disk.save(saved("a")) } == .stateNotSaved)
        #expect(contents(of: "\(other)/forwards.json") == nil)
        // One's own link to another disk is as good as a folder.
        #expect(lchown(folder, 0, 0) == 0)
        try disk.save(saved("a"))
        #expect(contents(of: "\(other)/forwards.json") != nil)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a folder away"))
    func whatSomebodyElseMadeBeforeIsNotUsed() throws {
        try place(String(decoding: try ForwardsFile.text(saved("theirs")), as: UTF8.self))
        #expect(chown(file, 1, 1) == 0)
        let loaded = disk().load(at: time)
        #expect(loaded.forwards.isEmpty && loaded.warnings.first?.why == "it belongs to another user")
        // The folder as well, in which its owner could put anything at any time.
        #expect(chown(folder, 1, 1) == 0)
        let disk = disk()
        #expect(disk.load(at: time).warnings.count == 1)
        #expect(kind { try disk.save(saved("a")) } == .stateNotSaved)
        #expect(contents(of: file) == nil)
    }

    @Test func aLinkInPlaceOfTheLockIsNotFollowed() throws {
        let other = home("other")
        try home.makeDirectory("state")
        try home.makeDirectory("state/eiced")
        #expect(symlink(other, "\(folder)/forwards.lock") == 0)
        let disk = disk()
        #expect(disk.load(at: time).warnings.count == 1)
        #expect(kind { try disk.save(saved("a")) } == .stateNotSaved)
        #expect(access(other, F_OK) != 0 && contents(of: file) == nil)
    }

    /// They could hold it for ever.
    @Test(.enabled(if: geteuid() == 0, "only root can give a file away"))
    func aLockOfSomebodyElseIsNotUsed() throws {
        try home.makeDirectory("state")
        try home.makeDirectory("state/eiced")
        let lock = "\(folder)/forwards.lock"
        #expect(mknod(lock, S_IFREG | 0o600, 0) == 0 && chown(lock, 1, 1) == 0)
        let disk = disk()
        let warnings = disk.load(at: time).warnings
        #expect(warnings.count == 1 && warnings.first?.why.contains("belongs to another user") == true, "\(warnings)")
        #expect(kind { try disk.save(saved("a")) } == .stateNotSaved)
        #expect(contents(of: file) == nil)
    }

    @Test func aFifoInPlaceOfTheFileHoldsNobodyUp() throws {
        try home.makeDirectory("state")
        try home.makeDirectory("state/eiced")
        #expect(mkfifo(file, 0o600) == 0)
        #expect(disk().load(at: time).warnings.first?.why == "it is no plain file")
    }

    @Test func aSaveThatFailsLeavesTheFileAsItWas() throws {
        let disk = disk()
        _ = disk.load(at: time)
        try disk.save(saved("a"))
        let before = contents(of: file)
        // Neither written over nor removed: a folder where the new file would be written.
        try home.makeDirectory("state/eiced/forwards.json.new")
        #expect(kind { try disk.save(saved("a", "b")) } == .stateNotSaved)
        #expect(contents(of: file) == before)
        rmdir("\(file).new")
        try disk.save(saved("a", "b"))
        #expect(contents(of: file) != before)
    }

    @Test func aLeftoverOfADaemonThatWasKilledIsInNobodysWay() throws {
        try place(String(decoding: try ForwardsFile.text(saved("a")), as: UTF8.self))
        try home.write("state/eiced/forwards.json.new", "{\"vers")
        let disk = disk()
        #expect(disk.load(at: time).forwards.map(\.name) == ["a"])
        try disk.save(saved("b"))
        #expect(contents(of: "\(file).new") == nil)
    }

    @Test func aSecondDaemonDoesNotWriteWhatTheFirstOneKeeps() throws {
        let first = disk()
        _ = first.load(at: time)
        try first.save(saved("a"))
        let second = disk()
        #expect(second.load(at: time).warnings.first?.why == "another eiced keeps its forwards there")
        #expect(kind { try second.save(saved("b")) } == .stateNotSaved)
        #expect(contents(of: file)?.contains("\"a\"") == true)
    }

    @Test func whatWasNotReadIsNotOverwrittenLater() throws {
        let second = disk()
        do {
            let first = disk()
            _ = first.load(at: time)
            _ = second.load(at: time)
            try first.save(saved("a"))
        }
        // The first one is gone, but the second never read what it left.
        #expect(kind { try second.save(saved("b")) } == .stateNotSaved)
        #expect(contents(of: file)?.contains("\"a\"") == true)
    }

    @Test func aFolderThatIsRemovedIsMadeAgain() throws {
        let disk = disk()
        _ = disk.load(at: time)
        try disk.save(saved("a"))
        for name in ["forwards.json", "forwards.lock"] { unlink("\(folder)/\(name)") }
        #expect(rmdir(folder) == 0)
        try disk.save(saved("b"))
        #expect(contents(of: file)?.contains("\"b\"") == true)
    }

    @Test func withoutAHomeTheDaemonStartsAndSaysSo() throws {
        let disk = ForwardsDisk(folderPath: nil)
        #expect(disk.load(at: time).warnings.first?.why == "there is no home folder")
        #expect(kind { try disk.save(saved("a")) } == .stateNotSaved)
    }

    @Test func theFolderFollowsTheBaseDirectorySpecification() {
        #expect(StateFolder.path(stateHome: "/s", home: "/h") == "/s/eiced")
        #expect(StateFolder.path(stateHome: nil, home: "/h") == "/h/.local/state/eiced")
        #expect(StateFolder.path(stateHome: "", home: "/h") == "/h/.local/state/eiced")
        #expect(StateFolder.path(stateHome: "relative", home: "/h") == "/h/.local/state/eiced")
        #expect(StateFolder.path(stateHome: nil, home: nil) == nil)
    }
}
