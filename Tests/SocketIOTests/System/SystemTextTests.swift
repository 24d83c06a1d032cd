import Glibc
import SocketIO
import TestSupport
import Testing

@Suite struct SystemTextTests {
    static let samples: [[UInt8]] = [
        Array("plain/ünïcödé/日本語/🦉".utf8),
        Array("Ren".utf8) + [0xE9],
        [0x80, 0xFF, 0xC3, 0x28, 0xC3],
        // The UTF-8 of the very scalars that stand for stray bytes, and of their neighbours.
        Array("\u{10FF7F}\u{10FF80}\u{10FFE9}\u{10FFFF}\u{10FFFE}".utf8),
        // Surrogates, overlong forms, too large, cut short.
        [0xED, 0xA0, 0x80, 0xC0, 0xAF, 0xF4, 0x90, 0x80, 0x80, 0xF0, 0x9F, 0xA6],
        [0xE9, 0xF4, 0x8F, 0xBF, 0xA9, 0x2F],
        // A combining character after a separator.
        Array("/a/\u{301}b=\u{301}".utf8),
        [],
    ]

    @Test("any bytes become text and the same bytes again", arguments: samples) func roundTrip(_ bytes: [UInt8]) {
        let text = String(systemBytes: bytes)
        #expect(text.systemBytes == bytes)
        #expect(text.withSystemString { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) } == bytes)
        #expect(!text.unicodeScalars.contains("\u{FFFD}"))
    }

    @Test("random bytes come back, and different bytes are different texts") func randomRoundTrip() {
        var seen: [String: [UInt8]] = [:]
        let choice: [UInt8] = [0xF4, 0x8F, 0xBF, 0xBE, 0xA9, 0xC3, 0xE9, 0x61, 0x80, 0xFF]
        for _ in 0..<20_000 {
            // Bytes of the ranges that matter, so that sequences are often nearly valid.
            let bytes: [UInt8] = (0..<Int.random(in: 0...6)).map { _ in choice[Int.random(in: choice.indices)] }
            let text = String(systemBytes: bytes)
            #expect(text.systemBytes == bytes)
            if let other = seen[text] { #expect(other == bytes) }
            seen[text] = bytes
        }
    }

    @Test("valid UTF-8 is the same text as ever") func validTextIsUnchanged() {
        #expect(String(systemBytes: Array("Zoë/日本".utf8)) == "Zoë/日本")
        #expect("Zoë/日本".systemBytes == Array("Zoë/日本".utf8))
    }

    @Test("files are made and found by bytes that are no UTF-8") func filesByBytes() throws {
        let folder = try TemporaryDirectory()
        let path = folder("Ren") + String(systemBytes: [0xE9])
        #expect(mkdir(path, 0o700) == 0)
        var names: [[UInt8]] = []
        let stream = try #require(opendir(folder.path))
        while let entry = readdir(stream) {
            withUnsafePointer(to: &entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: 256) {
                    names.append(String(systemString: $0).systemBytes)
                }
            }
        }
        closedir(stream)
        #expect(names.contains(Array("Ren".utf8) + [0xE9]))
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(rmdir(path) == 0)
    }

    @Test("a Unix socket's path is bytes, and has as many as it has") func socketPathIsBytes() throws {
        let name = [UInt8](repeating: 0xE9, count: SocketAddress.longestUnixPath - 1)
        let path = "/" + String(systemBytes: name)
        let address = try #require(SocketAddress(unixPath: path))
        #expect(address.host.systemBytes == Array("/".utf8) + name)
        #expect(SocketAddress(unixPath: path + "x") == nil)
    }
}
