import Basics
import Failures
import SecureSocket
import Testing

@testable import AWS

/// Everything that reads foreign bytes, with thousands of broken inputs: an error or a value, never a trap. The generator is
/// seeded, so that a finding can be repeated.
@Suite struct RobustnessTests {
    private struct Generator: RandomNumberGenerator {
        var state: UInt64

        /// SplitMix64.
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = state
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            return value ^ (value >> 31)
        }
    }

    private static let seeds = [
        "[profile a]\nrole_arn = arn:x\nnested =\n  a = 1\n  b = 2\n[sso-session \"b c\"]\n# c\nx: y\r\n",
        EC2Tests.instances(EC2Tests.instance, token: "t"),
        #"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","Expiration":"2026-01-01T00:00:00Z","Code":"Success"}"#,
        #"{"accessToken":"a","expiresAt":"2026-01-01T00:00:00Z","refreshToken":"r"}"#,
        "2026-01-31T23:59:59.123+02:00", "Sun, 06 Nov 1994 08:49:37 GMT", "https://user@[::1]:8443/path?q#f",
        "10.0.0.0/8,.example.com:443,[2001:db8::1]:80,*", "sh -c 'echo \"a\\\"b\"' x\\ y",
    ]

    private static func spoiled(_ generator: inout Generator) -> [UInt8] {
        var bytes = Array((seeds.randomElement(using: &generator) ?? "").utf8)
        for _ in 0..<Int.random(in: 1...8, using: &generator) {
            let position = Int.random(in: 0...bytes.count, using: &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: position)
            case 1: bytes.removeSubrange(position..<min(bytes.count, position + 9))
            case 2 where position < bytes.count: bytes[position] = UInt8.random(in: 0...255, using: &generator)
            case 3: bytes.insert(contentsOf: bytes.prefix(position).suffix(20), at: position)
            default: bytes.insert(contentsOf: Array("\n [=:]\u{FEFF}é\r".utf8), at: position)
            }
        }
        return bytes
    }

    @Test(arguments: 0..<20) func brokenInputIsAnErrorOrAValue(round: UInt64) {
        var generator = Generator(state: round)
        for _ in 0..<100 {
            let bytes = Self.spoiled(&generator)
            let text = String(decoding: bytes, as: UTF8.self)
            if let file = try? ProfileFile(parsing: bytes) {
                let config = SharedConfig(config: file, configPath: "/c", credentials: file, credentialsPath: "/k")
                for profile in config.profiles.values {
                    _ = try? RoleSettings(profile)?.cacheName
                    _ = try? SSOSettings(profile, in: config)
                }
            }
            _ = try? XMLNode.parse(bytes)
            _ = CredentialDocument(bytes)?.credentials(origin: "o", renewal: "r")
            _ = SSOToken(bytes)?.end
            _ = ServiceError(xml: HTTPResponse(status: 400, body: bytes)).summary
            _ = ServiceError(json: HTTPResponse(status: 400, body: bytes)).summary
            _ = WallTime(rfc3339: text)
            _ = WallTime(httpDate: text)
            _ = WebAddress(text)
            _ = ShellWords.split(text)
            _ = try? ProxyServer(parsing: text)
            _ = try? ContainerCredentials.check(text)
            let proxies = ProxySettings(environment: Environment(["HTTPS_PROXY": text, "NO_PROXY": text]))
            _ = proxies.proxy(forHost: "10.0.0.1")
            _ = proxies.proxy(forHost: text)
            _ = Environment(["HOME": "/h"]).expand(path: text)
            #expect(!ForeignText.excerpt(text).unicodeScalars.contains { $0.properties.generalCategory == .control })
        }
    }

    @Test func datesAtTheEndsOfTheirRangeAreWritten() {
        for seconds in [Int64.min, -62_135_596_801, 253_402_300_800, 1 << 40] {
            #expect(!WallTime(secondsSinceEpoch: seconds).rfc3339.isEmpty)
        }
        #expect(WallTime(secondsSinceEpoch: .max).advanced(by: .max).amzDate.hasSuffix("Z"))
    }
}
