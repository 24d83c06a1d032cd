/// A group of regions with DNS suffixes of its own (AWS General Reference, "Partitions"; the AWS CLI's partition data).
public struct Partition: Sendable, Hashable {
    public let id: String
    public let dnsSuffix: String
    public let dualStackSuffix: String

    public static let standard = Partition(id: "aws", dnsSuffix: "amazonaws.com", dualStackSuffix: "api.aws")
    public static let governmentUS = Partition(id: "aws-us-gov", dnsSuffix: "amazonaws.com", dualStackSuffix: "api.aws")

    /// The partition of a region, by the form of its name. A region that no form fits is taken as one of the standard
    /// partition, as the AWS SDKs do: new regions must work without a new release.
    public static func of(region: String) -> Partition {
        // `aws-cn-global` and the like name a partition.
        for (prefix, partition) in byPrefix where region.hasPrefix(prefix) || region == "\(partition.id)-global" {
            return partition
        }
        return .standard
    }

    /// Longer prefixes stand before the shorter ones that they begin with.
    private static let byPrefix: [(String, Partition)] = [
        (
            "cn-",
            Partition(id: "aws-cn", dnsSuffix: "amazonaws.com.cn", dualStackSuffix: "api.amazonwebservices.com.cn")
        ),
        (
            "eusc-",
            Partition(id: "aws-eusc", dnsSuffix: "amazonaws.eu", dualStackSuffix: "api.amazonwebservices.eu")
        ),
        ("us-gov-", governmentUS),
        ("us-iso-", Partition(id: "aws-iso", dnsSuffix: "c2s.ic.gov", dualStackSuffix: "api.aws.ic.gov")),
        ("us-isob-", Partition(id: "aws-iso-b", dnsSuffix: "sc2s.sgov.gov", dualStackSuffix: "api.aws.scloud")),
        (
            "eu-isoe-",
            Partition(id: "aws-iso-e", dnsSuffix: "cloud.adc-e.uk", dualStackSuffix: "api.cloud-aws.adc-e.uk")
        ),
        ("us-isof-", Partition(id: "aws-iso-f", dnsSuffix: "csp.hci.ic.gov", dualStackSuffix: "api.aws.hci.ic.gov")),
    ]
}
