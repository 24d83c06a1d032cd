import ArgumentParser
import ControlProtocol
import EicectlProxy

/// The options of a tunnel, for the argument parser.
struct TunnelFlags: ParsableArguments {
    @Option(help: ArgumentHelp("A profile of the AWS configuration.", valueName: "profile"), completion: .profiles)
    var profile: String?

    @Option(help: ArgumentHelp("A region.", valueName: "region"), completion: .regions)
    var region: String?

    @Option(help: ArgumentHelp("The endpoint to use, and no other.", valueName: "eice-…"), completion: .endpoints)
    var endpoint: String?

    @Option(
        name: .customLong("endpoint-dns"),
        help: ArgumentHelp(
            "That endpoint's DNS name: with it and an address as TARGET nothing is looked up.", valueName: "name"))
    var endpointDNSName: String?

    @Option(help: ArgumentHelp("Close a tunnel after this long: 1s to 1h.", valueName: "time"))
    var maxDuration: String?

    @Option(help: ArgumentHelp("Close a tunnel after this long without a byte.", valueName: "time"))
    var idleTimeout: String?

    @Option(
        help: ArgumentHelp("Whom to serve first when an endpoint is full.", valueName: "interactive|normal"),
        completion: .list(Priority.allCases.map(\.rawValue)))
    var priority: String?

    var texts: TunnelOptionTexts {
        TunnelOptionTexts(
            profile: profile, region: region, endpoint: endpoint, endpointDNSName: endpointDNSName,
            maxDuration: maxDuration, idleTimeout: idleTimeout, priority: priority)
    }
}
