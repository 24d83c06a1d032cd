import AWS
import Basics
import Failures
import Glibc
import TestSupport
import Testing
import Tunnels

@testable import Daemon

/// Saving forwards on a disk that does not take what was written.
@Suite struct FailingDiskTests {
    private let home: TemporaryDirectory
    private let disk = ScriptedDisk()
    private let forwards: ForwardsDisk
    private var file: String { home("eiced/forwards.json") }

    init() throws {
        home = try TemporaryDirectory("state")
        forwards = ForwardsDisk(folderPath: home("eiced"), sync: disk.sync)
        #expect(forwards.load(at: WallTime(secondsSinceEpoch: 1_772_357_400)).warnings.isEmpty)
    }

    private func saved(_ names: String...) throws -> [SavedForward] { try names.map { SavedForward(try .sample($0)) } }

    private func failure(_ names: String...) throws -> Failure? {
        let forwards = try names.map { SavedForward(try .sample($0)) }
        return #expect(throws: Failure.self) { try self.forwards.save(forwards) }
    }

    @Test("a save reaches the disk: first the file, then the folder")
    func order() throws {
        try forwards.save(saved("a"))
        #expect(disk.calls() == ["file", "folder"])
    }

    @Test(
        "a file that cannot be written to the disk fails the save and leaves the old file",
        arguments: [EIO, ENOSPC, EDQUOT])
    func file(code: CInt) throws {
        try forwards.save(saved("a"))
        let before = contents(of: file)
        disk.fail(file: code)
        let failure = try failure("a", "b")
        #expect(failure?.kind == .stateNotSaved)
        #expect(failure?.hint?.contains("free some space") == (code != EIO))
        #expect(contents(of: file) == before)
        #expect(access("\(file).new", F_OK) != 0, "what could not be saved is not left behind")
        disk.fail()
        try forwards.save(saved("a", "b"))
        #expect(contents(of: file)?.contains("\"b\"") == true)
    }

    @Test("a folder that cannot be written to the disk fails the save and restores the old file")
    func folder() throws {
        try forwards.save(saved("a"))
        let before = contents(of: file)
        disk.fail(folder: EIO)
        #expect(try failure("a", "b")?.kind == .stateNotSaved)
        #expect(contents(of: file) == before)
        disk.fail()
        try forwards.save(saved("b"))
        #expect(contents(of: file)?.contains("\"b\"") == true)
    }

    @Test("a first save that fails leaves no file behind", arguments: [true, false])
    func firstSave(isFile: Bool) throws {
        disk.fail(file: isFile ? EIO : 0, folder: isFile ? 0 : EIO)
        #expect(try failure("a")?.kind == .stateNotSaved)
        #expect(contents(of: file) == nil)
    }

    @Test("a save that fails removes no file of somebody else")
    func foreignFile() throws {
        disk.fail(file: EIO)
        try home.write("eiced/forwards.json", "theirs")
        #expect(try failure("a")?.kind == .stateNotSaved)
        #expect(contents(of: file) == "theirs")
    }

    @Test("a file system that cannot sync folders is no failure", arguments: [EINVAL, ENOTSUP])
    func unsupported(code: CInt) throws {
        disk.fail(folder: code)
        try forwards.save(saved("a"))
        #expect(contents(of: file)?.contains("\"a\"") == true)
        // Of a file's content the same code is one.
        disk.fail(file: code)
        #expect(try failure("a", "b")?.kind == .stateNotSaved)
    }
}
