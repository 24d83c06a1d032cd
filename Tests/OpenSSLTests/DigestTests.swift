import OpenSSL
import Testing

@Suite struct DigestTests {
    @Test func sha256OfTheEmptyBody() {
        // The hash that every presigned URL signs.
        #expect(
            Digest.hexadecimal(Digest.sha256([]))
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }

    @Test func hmacOfRFC4231Case2() {
        let code = Digest.hmacSHA256(key: Array("Jefe".utf8), message: "what do ya want for nothing?".utf8)
        #expect(
            Digest.hexadecimal(code) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    }

    /// OpenSSL takes no key for "the key that was there before".
    @Test func hmacWithoutAKey() {
        #expect(
            Digest.hexadecimal(Digest.hmacSHA256(key: [], message: []))
                == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad")
    }

    @Test func hmacOnManyThreadsAtOnce() async {
        await withTaskGroup(of: String.self) { group in
            for _ in 0..<64 {
                group.addTask {
                    Digest.hexadecimal(
                        Digest.hmacSHA256(key: Array("Jefe".utf8), message: "what do ya want for nothing?".utf8))
                }
            }
            for await code in group {
                #expect(code == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
            }
        }
    }

    @Test func sha1OfRFC3174() {
        #expect(Digest.hexadecimal(Digest.sha1("abc".utf8)) == "a9993e364706816aba3e25717850c26c9cd0d89d")
    }

    @Test func constantTimeEqualComparesLengthAndBytes() {
        #expect(Digest.constantTimeEqual([1, 2], [1, 2]))
        #expect(!Digest.constantTimeEqual([1, 2], [1, 3]))
        #expect(!Digest.constantTimeEqual([1, 2], [1, 2, 3]))
    }

    @Test func maskingKeysAreNotRepeatedWithinOneDraw() {
        var source = MaskingKeySource()
        let keys = Set((0..<3_000).map { _ in source.draw() })
        #expect(keys.count > 2_990)
    }
}
