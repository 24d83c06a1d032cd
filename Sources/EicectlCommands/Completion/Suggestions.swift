import ArgumentParser
import ControlClient
import ControlProtocol
import EicectlProxy
import Failures

/// What a shell offers when a person presses Tab: names that the daemon knows. Whatever goes wrong, nothing is offered and
/// nothing is said, since the line is not finished yet.
enum Suggestions {
    /// A shell that hangs is worse than one that offers nothing. The daemon goes on and keeps what it found for the next time.
    private static let patience = Duration.milliseconds(1_500)

    static func forwards(_ daemon: ControlClient, _ line: CommandLineSoFar) throws(Failure) -> [String] {
        try list(daemon).map(\.name)
    }

    static func tunnels(_ daemon: ControlClient, _ line: CommandLineSoFar) throws(Failure) -> [String] {
        try daemon.call(Methods.TunnelList.self, .init(), timeout: patience).tunnels.map(\.id)
    }

    static func profiles(_ daemon: ControlClient, _ line: CommandLineSoFar) throws(Failure) -> [String] {
        try daemon.call(Methods.ProfileList.self, NoParameters(), timeout: patience).profiles
    }

    /// Those in use: which there are AWS knows.
    static func regions(_ daemon: ControlClient, _ line: CommandLineSoFar) throws(Failure) -> [String] {
        try list(daemon).compactMap(\.region)
    }

    static func endpoints(_ daemon: ControlClient, _ line: CommandLineSoFar) throws(Failure) -> [String] {
        let used = try daemon.call(Methods.EndpointList.self, NoParameters(), timeout: patience).endpoints.map(\.id)
        return used + (try list(daemon).compactMap(\.endpoint))
    }

    /// Instances by their Name tags, or by their ids once one is begun; those without a name, or with one that cannot be offered,
    /// always by their ids. What forwards lead to is known without AWS.
    static func targets(_ daemon: ControlClient, _ line: CommandLineSoFar) throws(Failure) -> [String] {
        let known = try list(daemon).map(\.target)
        var options = TunnelOptions()
        options.profile = line.value(of: "--profile")
        options.region = line.value(of: "--region")
        let parameters = TargetListParameters(options: try ShellVariables.ofProcess.completing(options))
        guard let found = try? daemon.call(Methods.TargetList.self, parameters, timeout: patience) else { return known }
        let wantsID = line.word.hasPrefix("i-")
        return known
            + found.targets.map { target in
                guard !wantsID, let name = target.name, CompletionWord.isSafe(name) else { return target.id }
                return name
            }
    }

    private static func list(_ daemon: ControlClient) throws(Failure) -> [ForwardInfo] {
        try daemon.call(Methods.ForwardList.self, NoParameters(), timeout: patience).forwards
    }

    /// Asks the daemon; an empty list where it does not answer. The one place where words from elsewhere reach a shell.
    static func ask(
        _ line: CommandLineSoFar,
        _ question: (ControlClient, CommandLineSoFar) throws(Failure) -> [String]
    ) -> [String] {
        do throws(Failure) {
            let path = try SocketPath.find(option: line.value(of: "--socket"))
            let daemon = try ControlClient(path: path, client: Eicectl.name, timeout: patience)
            return Set(try question(daemon, line)).filter(CompletionWord.isSafe).sorted()
        } catch {
            return []
        }
    }
}

/// The words that were typed.
struct CommandLineSoFar {
    var words: [String]
    /// The beginning of the one to complete.
    var word: String

    /// What an option was given before, as `--option value` or `--option=value`.
    func value(of option: String) -> String? {
        for (index, word) in words.enumerated() {
            if word == option, index + 1 < words.count {
                // bash takes `=` for a word of its own.
                let next = words[index + 1] == "=" && index + 2 < words.count ? words[index + 2] : words[index + 1]
                return next.isEmpty ? nil : next
            }
            if word.hasPrefix("\(option)=") { return String(word.dropFirst(option.count + 1)) }
        }
        return nil
    }
}

extension CompletionKind {
    static let forwards = asking(Suggestions.forwards)
    static let tunnels = asking(Suggestions.tunnels)
    static let profiles = asking(Suggestions.profiles)
    static let regions = asking(Suggestions.regions)
    static let endpoints = asking(Suggestions.endpoints)
    static let targets = asking(Suggestions.targets)
    /// The ports that the service accepts. No `list`, for which the script for zsh would make a variable of the value's name,
    /// `remote[:local]`.
    static let remotePorts = custom { _, _, _ in ["22", "3389"] }

    private static func asking(
        _ question: @escaping @Sendable (ControlClient, CommandLineSoFar) throws(Failure) -> [String]
    ) -> CompletionKind {
        .custom { words, _, word in Suggestions.ask(CommandLineSoFar(words: words, word: word), question) }
    }
}
