import COpenSSL
import Glibc
import OpenSSL
import Testing

@Suite struct ExitTests {
    /// A handshake on another thread would crash in what is torn down.
    @Test func exitLeavesOpenSSLToTheOtherThreads() async {
        await #expect(processExitsWith: .success) {
            #expect(!Digest.sha256([]).isEmpty)
            #expect(OPENSSL_atexit { _exit(3) } == 1)
            exit(0)
        }
    }
}
