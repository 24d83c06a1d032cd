import ControlProtocol
import Descriptors
import EicectlProxy
import Failures

/// `REMOTE[:LOCAL]`: a remote port, and where to listen for it: a port, 0 or nothing (the daemon chooses), or the
/// path of a Unix socket. `FIRST-LAST[:LOCAL]` is a range: its ports one by one, and local ports that count up from LOCAL.
enum MappingText {
    /// What one word stands for: one mapping, or those of a range.
    ///
    /// - Parameter folder: what a relative path is relative to; the daemon's own folder is another.
    static func parseAll(_ text: String, folder: @autoclosure () -> String?) throws(Failure) -> [Mapping] {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let remotes = parts.first.flatMap(range) else { return [try parse(text, folder: folder())] }
        guard parts.count == 2, !parts[1].isEmpty, parts[1] != "0" else {
            return remotes.map { Mapping(remotePort: $0) }
        }
        guard let first = range(parts[1])?.lowerBound ?? PortText.parse(parts[1]),
            range(parts[1]).map({ $0.count == remotes.count }) ?? true
        else {
            throw wrong(text, "the local side of \(remotes.count) ports is the first of as many ports, or nothing")
        }
        guard Int(first) + remotes.count - 1 <= Int(UInt16.max) else {
            throw wrong(text, "\(remotes.count) local ports from \(first) on go beyond 65535")
        }
        return remotes.map { Mapping(remotePort: $0, local: .port(first + ($0 - remotes.lowerBound))) }
    }

    /// `3000-3005`.
    private static func range(_ text: some StringProtocol) -> ClosedRange<UInt16>? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = PortText.parse(ends[0]), let last = PortText.parse(ends[1]), first > 0,
            first <= last
        else {
            return nil
        }
        return first...last
    }

    /// - Parameter folder: what a relative path is relative to; the daemon's own folder is another.
    static func parse(_ text: String, folder: @autoclosure () -> String?) throws(Failure) -> Mapping {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let remote = PortText.parse(parts[0]), remote > 0 else {
            throw wrong(text, "\"\(parts[0])\" is no port of the target: expected 1 to 65535")
        }
        guard parts.count == 2, !parts[1].isEmpty else { return Mapping(remotePort: remote) }
        let address = try local(parts[1], in: text, folder: folder())
        return Mapping(remotePort: remote, local: address == .port(0) ? nil : address)
    }

    /// Where to listen: a port, or the path of a Unix socket.
    ///
    /// - Parameter whole: what was typed, for the message.
    static func local(
        _ text: some StringProtocol, in whole: String, folder: @autoclosure () -> String?
    ) throws(Failure) -> LocalAddress {
        if !text.isEmpty, text.allSatisfy(\.isNumber) {
            guard let port = PortText.parse(text) else {
                throw wrong(whole, "\"\(text)\" is no local port: expected 0 to 65535")
            }
            return .port(port)
        }
        guard text.contains("/") else {
            throw wrong(whole, "\"\(text)\" is neither a port nor the path of a Unix socket, which has a /")
        }
        guard let path = AbsolutePath.of(String(text), folder: folder) else {
            throw wrong(whole, "the current folder has no name")
        }
        return .path(path)
    }

    private static func wrong(_ text: String, _ why: String) -> Failure {
        Failure(
            .usage, "cannot understand \(text)", why: why,
            hint: "eicectl add i-0123456789abcdef0 22:2222 listens on port 2222 for the target's port 22")
    }
}
