import ArgumentParser
import Descriptors
import EicectlProxy
import Failures

/// Stands in the help only: ``Proxy`` does the work, past the argument parser.
struct ProxyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proxy",
        abstract: "Connect ssh to a target, as its ProxyCommand.",
        discussion: """
            Host i-* *.eice
                ProxyCommand eicectl proxy %h %p
                ProxyUseFdpass yes

            With ProxyUseFdpass the tunnel is handed to ssh, and no byte passes through this program. Other programs that
            read ssh's configuration, such as those with libssh, get its bytes. NAME.eice is the instance whose Name tag is NAME.
            """)

    @Argument(help: "An instance id, a private address, a Name tag or a private DNS name.", completion: .targets)
    var target: String

    @Argument(help: "The target's port.", completion: .remotePorts)
    var port = ServerPort.ssh

    @Flag(help: "Pass the tunnel's descriptor over stdout, whatever stdout looks like.")
    var passFd = false

    @Flag(help: "Copy between stdin, stdout and the tunnel, whatever they look like.")
    var stdio = false

    @OptionGroup var tunnel: TunnelFlags

    @Option(help: ArgumentHelp("The control socket.", valueName: "path"), completion: .file())
    var socket: String?

    func run() throws {
        Proxy.run(Array(ProcessStart.arguments.drop { $0 != "proxy" }.dropFirst()))
    }
}
