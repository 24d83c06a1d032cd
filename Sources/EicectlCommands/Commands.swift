import ArgumentParser
import ControlProtocol
import EicectlProxy
import Failures
import Glibc

/// The program `eicectl-commands`: finds out what is meant, does it, and ends with the exit code that follows.
public enum Commands {
    /// - Parameter arguments: those of the process, its own name first.
    public static func run(_ arguments: [String]) -> Never {
        Eicectl.prepareProcess()
        let rest = Array(arguments.dropFirst())
        if rest.first == ProxyContinuation.command { ContinuedProxy.run(rest.dropFirst()) }
        do {
            var command = try EicectlCommand.parseAsRoot(rest)
            try command.run()
        } catch let failure as Failure {
            Report.fail(failure)
        } catch {
            finish(error, words: rest)
        }
        exit(Report.flush())
    }

    /// Help and version go to stdout; what could not be understood goes to stderr in our own form.
    private static func finish(_ error: any Error, words: [String]) -> Never {
        let code = EicectlCommand.exitCode(for: error)
        // A shell asks what could stand in a line: what it gets wrong is nothing that a person could mend.
        if words.first == "---completion", !code.isSuccess { exit(code.rawValue) }
        guard !code.isSuccess else {
            let message = EicectlCommand.fullMessage(for: error)
            Report.answer(message.hasPrefix("#!/bin/bash\n") ? BashScript.safe(message) ?? message : message)
            exit(Report.flush())
        }
        let names = EicectlCommand.configuration.subcommands.compactMap { $0.configuration.commandName }
        let command = words.first.flatMap { names.contains($0) ? " \($0)" : nil } ?? ""
        Report.fail(Failure(.usage, EicectlCommand.message(for: error), hint: "eicectl help\(command)"))
    }
}

struct EicectlCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eicectl",
        abstract: "Reach EC2 instances through EC2 Instance Connect Endpoints, by way of eiced.",
        discussion: """
            eicectl add i-0123456789abcdef0 22:2222  listen on localhost:2222 for its port 22
            ssh -p 2222 ec2-user@localhost
            eicectl status                           forwards, tunnels, latest failures

            Exit codes: 0, 64 usage, 65 bad data, 68 target or endpoint, 69 no daemon,
            70 a bug, 73 cannot listen, 74 cannot save, 75 try again,
            76 TLS or protocol, 77 not permitted or login needed, 78 configuration.
            """,
        version: EICEDVersion.current,
        subcommands: [
            AddCommand.self, SetCommand.self, RemoveCommand.self, ListCommand.self, StatusCommand.self,
            TunnelsCommand.self,
            CloseCommand.self, EndpointsCommand.self, EventsCommand.self, WaitCommand.self, MetricsCommand.self,
            ProxyCommand.self, SSHConfigCommand.self, ReloadCommand.self, ShutdownCommand.self, VersionCommand.self,
        ])
}
