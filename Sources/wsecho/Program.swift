import Descriptors
import Glibc
import WebSocketEcho

/// `wsecho URL [CAFILE]`: echoes messages over ws or wss, for conformance suites. Docs: docs/contributing.md.
@main enum Program {
    static func main() {
        let arguments = ProcessStart.arguments.dropFirst()
        guard (1...2).contains(arguments.count), let url = EchoURL(arguments[1]) else {
            say("usage: wsecho ws://HOST[:PORT]/PATH [CAFILE]   (or wss://…)")
            exit(64)
        }
        signal(SIGPIPE, SIG_IGN)
        let end = EchoClient.run(url, roots: arguments.count == 2 ? arguments[2] : nil)
        switch end {
        case .clean: break
        case .violation(let sentence), .broken(let sentence): say("wsecho: error: \(sentence)")
        }
        exit(end.exitCode)
    }

    private static func say(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }
}
