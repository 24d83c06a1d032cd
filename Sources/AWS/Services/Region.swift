import Failures

/// Which region is meant.
public enum Region {
    /// The region that is named, else the environment's (`AWS_REGION`, then `AWS_DEFAULT_REGION`), else the profile's; nil
    /// where nothing says one.
    public static func configured(
        named region: String?, environment: Environment, profile: SharedConfig.Section
    ) -> String? {
        region ?? environment.first(of: "AWS_REGION", "AWS_DEFAULT_REGION") ?? profile["region"]
    }

    static func missing(profile: String) -> Failure {
        Failure(
            .noRegion, "no region is set for profile \(profile)",
            hint:
                "--region eu-west-1, or: aws configure set region eu-west-1\(profile == "default" ? "" : " --profile \(profile)")"
        )
    }

    /// The region that a name means. Old configurations ask for FIPS endpoints with a pseudo region, such as
    /// `fips-us-gov-west-1` or `us-gov-west-1-fips` (botocore's `_normalize_fips_region`).
    public static func resolve(_ name: String) -> (region: String, isFIPS: Bool) {
        let region = name.replacing("fips-", with: "").replacing("-fips", with: "")
        return (region, region != name)
    }

    /// The region that a name means.
    /// - Throws: `.noRegion` for a name that cannot be part of a host name or of a signature.
    static func checked(_ name: String) throws(Failure) -> String {
        let region = resolve(name).region
        guard isHostLabel(region) else {
            throw Failure(
                .noRegion, "invalid region \"\(ForeignText.excerpt(name, limit: 80))\"",
                why: "expected letters, digits and hyphens", hint: "--region eu-west-1")
        }
        return region
    }

    private static func isHostLabel(_ text: String) -> Bool {
        let bytes = text.utf8
        return 1...63 ~= bytes.count && bytes.first != UInt8(ascii: "-") && bytes.last != UInt8(ascii: "-")
            && bytes.allSatisfy { byte in
                byte == UInt8(ascii: "-") || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
                    || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
            }
    }
}
