import Basics
import Failures

/// What a user names as the other end of a tunnel. `description` is what was typed.
public struct Target: Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// `i-0123456789abcdef0`, in small letters.
        case instance(id: String)
        /// A private address, IPv4 or IPv6.
        case address(IPAddress)
        /// The value of a Name tag.
        case name(String)
        /// `ip-10-0-1-5.eu-west-1.compute.internal`, in small letters.
        case privateDNSName(String)
    }

    public let kind: Kind
    public let description: String

    /// EC2's bound on a tag's value is 256 characters; host names are shorter.
    private static let largestLength = 260

    /// Reads a target: an instance id; an address (IPv6 also in brackets); `NAME.eice` for the Name tag NAME; a name that
    /// ends in `.internal` for a private DNS name; anything else for a Name tag. Case does not matter, but in a Name tag,
    /// and a dot may follow `.eice`, `.internal` or an instance id, as after a fully qualified host name.
    /// - Throws: `.usage` for what cannot be any of these.
    public init(parsing text: String) throws(Failure) {
        guard !text.isEmpty, text.unicodeScalars.count <= Self.largestLength,
            !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else {
            throw Failure(
                .usage, "\"\(ForeignText.excerpt(text, limit: 40))\" is no target",
                hint: "name an instance id, a private address or a Name tag")
        }
        description = text
        kind = try Self.kind(of: text)
    }

    private static func kind(of text: String) throws(Failure) -> Kind {
        let bare = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
        if let address = IPAddress(bare) { return .address(address) }
        let hostName = text.hasSuffix(".") ? String(text.dropLast()) : text
        let lower = hostName.lowercased()
        if lower.hasSuffix(".eice") {
            let name = String(hostName.dropLast(5))
            guard !name.isEmpty else { throw Failure(.usage, "\(text) has no name before .eice") }
            return .name(name)
        }
        // Before what `i-` alone means: the name of an instance by its resource begins with its id.
        if lower.hasSuffix(".internal") {
            return resourceID(ofHostName: lower).map { .instance(id: $0) } ?? .privateDNSName(lower)
        }
        if lower.hasPrefix("eice-") {
            throw Failure(
                .usage, "\(text) is an endpoint, not a target",
                hint: "name the instance or address as the target, and the endpoint with --endpoint \(text)")
        }
        if lower.hasPrefix("i-") {
            guard isInstanceID(lower) else {
                throw Failure(
                    .usage, "\(text) is no instance id",
                    why: "i- and 17 hexadecimal digits are expected (8 in old ids)",
                    hint: "write \(text).eice if it is a Name tag")
            }
            return .instance(id: lower)
        }
        return .name(text)
    }

    /// The instance of a resource-based private DNS name: `ID.REGION.compute.internal`, in us-east-1 `ID.ec2.internal` (EC2
    /// User Guide, "EC2 instance hostnames and domains"). Such a name can resolve even if the instance's own private DNS
    /// name is the other, IP-based one, so that the id finds more than the name.
    private static func resourceID(ofHostName name: String) -> String? {
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        let isEC2 = labels.count == 3 && labels[1] == "ec2" || labels.count == 4 && labels[2] == "compute"
        guard isEC2, isInstanceID(String(labels[0])) else { return nil }
        return String(labels[0])
    }

    private static func isInstanceID(_ text: String) -> Bool {
        let digits = text.dropFirst(2)
        return text.hasPrefix("i-") && (digits.utf8.count == 8 || digits.utf8.count == 17)
            && digits.utf8.allSatisfy(isHexadecimal)
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || UInt8(ascii: "a")...UInt8(ascii: "f") ~= byte
    }
}
