import Testing

@testable import EICEEmulator

@Suite struct EnvironmentTests {
    @Test func valuesAreSafeForAShell() {
        #expect(EmulatorEnvironment.quoted("http://127.0.0.1:80") == "http://127.0.0.1:80")
        #expect(EmulatorEnvironment.quoted("/tmp/a b") == "'/tmp/a b'")
        #expect(EmulatorEnvironment.quoted("it's $HOME") == #"'it'\''s $HOME'"#)
        #expect(EmulatorEnvironment.quoted("") == "''")
    }

    @Test func manyNamesOfOneParentBecomeAWildcard() {
        let few = ["a.x.example.com", "b.x.example.com", "c.y.example.com"]
        #expect(Certificates.merged(few) == few)
        let many = (0..<100).map { "eice-\($0).x.example.com" }
        #expect(Certificates.merged(many + ["one.y.example.com"]) == ["*.x.example.com", "one.y.example.com"])
    }
}
