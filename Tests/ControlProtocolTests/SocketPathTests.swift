import Failures
import Testing

@testable import ControlProtocol

@Suite struct SocketPathTests {
    func find(_ option: String? = nil, _ environment: [String: String] = [:], owned: Bool = true) throws(Failure)
        -> String
    {
        try SocketPath.find(
            option: option, environment: { environment[$0] }, uid: 1000,
            ownsFolder: { owned && $0 == "/run/user/1000" })
    }

    @Test func theMostExplicitWins() throws {
        let all = ["EICED_SOCKET": "/e.sock", "XDG_RUNTIME_DIR": "/x"]
        #expect(try find("/o.sock", all) == "/o.sock")
        #expect(try find(nil, all) == "/e.sock")
        #expect(try find(nil, ["XDG_RUNTIME_DIR": "/x"]) == "/x/eiced/control.sock")
        #expect(try find() == "/run/user/1000/eiced/control.sock")
    }

    @Test func emptyVariableCountsAsNotSet() throws {
        #expect(try find(nil, ["EICED_SOCKET": "", "XDG_RUNTIME_DIR": ""]) == "/run/user/1000/eiced/control.sock")
    }

    @Test("relative paths and a tilde become absolute, and a relative runtime folder is ignored") func absolutePaths()
        throws
    {
        let environment = ["HOME": "/home/ann", "EICED_SOCKET": "~/e.sock", "XDG_RUNTIME_DIR": "run"]
        func find(_ option: String?, _ environment: [String: String]) throws(Failure) -> String {
            try SocketPath.find(
                option: option, environment: { environment[$0] }, uid: 1000, ownsFolder: { _ in true },
                folder: { "/work" })
        }
        #expect(try find(nil, environment) == "/home/ann/e.sock")
        #expect(try find("s/c.sock", environment) == "/work/s/c.sock")
        #expect(try find("~", environment) == "/home/ann")
        #expect(try find("~x/c.sock", environment) == "/work/~x/c.sock")
        #expect(try find(nil, ["XDG_RUNTIME_DIR": "run"]) == "/run/user/1000/eiced/control.sock")
    }

    @Test func foreignRuntimeFolderIsNotUsed() throws {
        let failure = try #require(throws: Failure.self) { try find(owned: false) }
        #expect(failure.kind == .configuration)
        #expect(failure.hint == "set EICED_SOCKET to a path, for eiced and for eicectl")
    }

    @Test func pathOfTooManyBytesIsExplained() throws {
        let fits = "/" + String(repeating: "x", count: 106)
        #expect(try find(fits) == fits)
        let failure = try #require(throws: Failure.self) { try find(fits + "x") }
        #expect(failure.kind == .configuration)
        #expect(failure.sentence.contains("108 bytes"))
        #expect(throws: Failure.self) { try find("") }
    }
}
