import ControlCodec
import FoundationEssentials
import Glibc

@testable import AWS
@testable import ControlProtocol
@testable import Daemon
@testable import InstanceConnect
@testable import WebSocket

// One program for all targets, so that it is built once: $EICED_FUZZ_TARGET names the one to run (scripts/fuzz.sh). Each
// target holds what its parser promises beside not to crash, and stops with `precondition` where that is broken.

/// libFuzzer as a library (llvm.org/docs/LibFuzzer.html, "Using libFuzzer as a library"), since SwiftPM gives each executable a main
/// function of its own.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

private let target: @Sendable ([UInt8]) -> Void = {
    let name = getenv("EICED_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    guard let target = FuzzTargets.all[name] else {
        fatalError("EICED_FUZZ_TARGET is one of \(FuzzTargets.all.keys.sorted())")
    }
    return target
}()

@main enum FuzzProgram {
    static func main() {
        var count = CommandLine.argc
        var arguments = CommandLine.unsafeArgv
        let code = runDriver(&count, &arguments) { data, size in
            target(Array(UnsafeBufferPointer(start: data, count: size)))
            // The input is kept in the corpus if it reached something new.
            return 0
        }
        exit(code)
    }
}

enum FuzzTargets {
    static let all: [String: @Sendable ([UInt8]) -> Void] = [
        "frames": frames, "upgrade": upgrade, "control": control, "ec2": ec2, "profiles": profiles, "toml": toml,
        "state": state, "credentials": credentials, "connect": connect,
    ]

    /// What is heard does not depend on how the bytes were split.
    @Sendable private static func frames(_ bytes: [UInt8]) {
        for role in [Role.client, .server] {
            let whole = hear(bytes, role, partsOf: .max)
            precondition(whole == hear(bytes, role, partsOf: 1))
            precondition(whole == hear(bytes, role, partsOf: 7))
        }
    }

    private struct Heard: Equatable {
        var data: [UInt8] = []
        var others: [WebSocketStateMachine.Event] = []
    }

    private static func hear(_ bytes: [UInt8], _ role: Role, partsOf size: Int) -> Heard {
        var machine = WebSocketStateMachine(role: role, maximumMessageLength: 1 << 20)
        var heard = Heard()
        var rest = bytes[...]
        while !rest.isEmpty {
            var part = Array(rest.prefix(size))
            rest = rest.dropFirst(size)
            part.withUnsafeMutableBytes { buffer in
                var offset = 0
                while let event = machine.next(in: buffer, at: &offset) {
                    precondition(offset <= buffer.count)
                    switch event {
                    case .data(let range, _, _): heard.data += buffer[range]
                    // Of text that turns out not to be any, how much was delivered before depends on the parts.
                    case .violation(.textNotUTF8): heard.data = []
                    default: break
                    }
                    if case .data = event { continue }
                    heard.others.append(event)
                }
                precondition(offset == buffer.count)
            }
        }
        return heard
    }

    @Sendable private static func upgrade(_ bytes: [UInt8]) {
        guard
            let request = try? UpgradeRequest(
                host: "h", pathAndQuery: "/", key: [UInt8](repeating: 7, count: 16), userAgent: "fuzz")
        else { fatalError("the request is good") }
        func outcome(partsOf size: Int) -> String {
            var parser = UpgradeResponseParser(for: request)
            var position = 0
            while position < bytes.count {
                let end = size < bytes.count - position ? position + size : bytes.count
                let outcome = bytes[position..<end].withUnsafeBytes { parser.feed($0) }
                switch outcome {
                case .needMore: position = end
                case .accepted(let head, let leftover): return "accepted \(head) at \(position + leftover)"
                default: return "\(outcome)"
                }
            }
            return "\(parser.endOfInput())"
        }
        let whole = outcome(partsOf: .max)
        precondition(whole == outcome(partsOf: 1), "the parts decide")
    }

    /// How the bytes were split decides nothing, and no control character and no NUL reaches a field.
    @Sendable private static func connect(_ bytes: [UInt8]) {
        func outcome(partsOf size: Int) -> ConnectResponseParser.Outcome {
            var parser = ConnectResponseParser()
            var rest = bytes[...]
            while !rest.isEmpty {
                let outcome = rest.prefix(size).withUnsafeBytes { parser.feed($0) }
                if outcome != .needMore { return outcome }
                rest = rest.dropFirst(size)
            }
            return .needMore
        }
        let whole = outcome(partsOf: .max)
        // An early answer in parts of one byte has nothing behind it yet.
        let parts = outcome(partsOf: 1)
        precondition(whole == parts || parts == .connected, "the parts decide")
        guard case .refused(let head) = whole else { return }
        let text = head.reason + head.headers.fields.map { $0.name + $0.value }.joined()
        precondition(text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }, "a control character")
    }

    @Sendable private static func control(_ bytes: [UInt8]) {
        func lines(partsOf size: Int) -> [String] {
            var framing = LineFraming(maximumLength: 4_096)
            var found: [String] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                framing.append(rest.prefix(size))
                rest = rest.dropFirst(size)
                while let line = framing.next() { found.append("\(line)") }
            }
            return found
        }
        precondition(lines(partsOf: .max) == lines(partsOf: 1))
        _ = try? ControlRequest.parse(bytes)
        _ = QuickConnect.isResult(bytes)
        _ = QuickConnect.topLevelKeys(bytes)
    }

    @Sendable private static func ec2(_ bytes: [UInt8]) {
        guard let page = try? XMLNode.parse(bytes) else { return }
        let reader = AnswerReader(sent: .none)
        for set in page.items("reservationSet") { _ = set.items("instancesSet").compactMap { Instance($0, reader) } }
        _ = page.items("instanceConnectEndpointSet").compactMap { InstanceConnectEndpoint($0, reader) }
        _ = page.first("Code")
    }

    @Sendable private static func profiles(_ bytes: [UInt8]) {
        guard let file = try? ProfileFile(parsing: bytes) else { return }
        precondition(Set(file.order) == Set(file.sections.keys))
        _ = file.problems
    }

    @Sendable private static func toml(_ bytes: [UInt8]) {
        do throws(InvalidConfiguration) {
            _ = try Configuration.parse(bytes, file: "fuzz")
        } catch {
            precondition(!error.failures.isEmpty, "refused without a reason")
        }
    }

    /// What is read can be written, and read again as the same.
    @Sendable private static func state(_ bytes: [UInt8]) {
        guard case .forwards(let forwards) = ForwardsFile.read(bytes) else { return }
        guard let text = try? ForwardsFile.text(forwards) else { preconditionFailure("read, and cannot be written") }
        precondition(ForwardsFile.read(text) == .forwards(forwards))
    }

    @Sendable private static func credentials(_ bytes: [UInt8]) {
        if let document = CredentialDocument(bytes) {
            _ = document.credentials(origin: "fuzz", renewal: "none")
        }
        _ = SSOToken(bytes)
        _ = RefusalBody(bytes)
    }
}
