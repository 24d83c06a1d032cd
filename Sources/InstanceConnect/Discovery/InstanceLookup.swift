import AWS
import Failures
import Transport

/// Finds the one instance that a target means.
struct InstanceLookup: Sendable {
    let ec2: EC2
    let region: String

    /// - Throws: `.unknownTarget`, `.ambiguousTarget`, `.targetNotRunning`, and what EC2's calls throw.
    func instance(_ target: Target) async throws(Failure) -> Instance {
        let purpose = "look up \(target)"
        switch target.kind {
        case .instance(let id):
            let found = try await ec2.describeInstances(ids: [id], purpose: purpose)
            guard let instance = found.first(where: { $0.id == id }) else { throw unknown(target) }
            return try running([instance], target)
        case .address(let address):
            let name = address.isIPv6 ? "ipv6-address" : "private-ip-address"
            let filter = EC2.Filter(name, address.description)
            return try running(try await ec2.describeInstances(filters: [filter], purpose: purpose), target)
        case .privateDNSName(let name):
            let filter = EC2.Filter("private-dns-name", EC2.Filter.literal(name))
            return try running(try await ec2.describeInstances(filters: [filter], purpose: purpose), target)
        case .name(let name):
            return try await named(name, target, purpose)
        }
    }

    /// An exact match wins. Without one the tag is compared in any case, since ssh gives host names in small letters; EC2
    /// cannot filter so, hence all named instances are read.
    private func named(_ name: String, _ target: Target, _ purpose: String) async throws(Failure) -> Instance {
        let exact = try await ec2.describeInstances(
            filters: [EC2.Filter("tag:Name", EC2.Filter.literal(name))], purpose: purpose)
        if exact.contains(where: { Self.isUp($0) }) { return try running(exact, target) }
        let alive = EC2.Filter("instance-state-name", "pending", "running", "stopping", "stopped")
        let all = try await ec2.describeInstances(filters: [EC2.Filter("tag-key", "Name"), alive], purpose: purpose)
        // Tags come as messages may carry them.
        let wanted = ForeignText.line(name).lowercased()
        let alike = all.filter { $0.name?.lowercased() == wanted }
        return try running(alike.contains { Self.isUp($0) } || exact.isEmpty ? alike : exact, target)
    }

    /// The one instance that is up; those that are not are passed over.
    private func running(_ instances: [Instance], _ target: Target) throws(Failure) -> Instance {
        let up = instances.filter(Self.isUp)
        if up.count > 1 {
            throw Failure(
                .ambiguousTarget, "\(target) means \(up.count) instances in \(region)",
                why: ListText.brief(up.map(Self.describe), longest: 400), hint: "name one by its id")
        }
        if let instance = up.first { return instance }
        guard let instance = instances.first else { throw unknown(target) }
        throw Failure(
            .targetNotRunning, "\(target) is not running", why: "\(instance.id) is \(instance.state)",
            hint: instance.state == "stopped"
                ? "aws ec2 start-instances --region \(region) --instance-ids \(instance.id)" : nil)
    }

    private func unknown(_ target: Target) -> Failure {
        let why =
            switch target.kind {
            case .instance: "no such instance in \(region)"
            case .address: "no instance in \(region) has this private address"
            case .name(let name): "no instance in \(region) has the Name tag \(name)"
            case .privateDNSName: "no instance in \(region) has this private DNS name"
            }
        return Failure(
            .unknownTarget, "\(target) is unknown", why: why, hint: "check the target, --region and --profile")
    }

    /// A pending instance has its address already; whether it answers the dial will tell.
    private static func isUp(_ instance: Instance) -> Bool {
        instance.state == "running" || instance.state == "pending"
    }

    private static func describe(_ instance: Instance) -> String {
        let place = [instance.name, instance.privateAddress ?? instance.ipv6Address, instance.vpcID].compactMap { $0 }
        return place.isEmpty ? instance.id : "\(instance.id) (\(place.joined(separator: ", ")))"
    }
}
