import Failures
import Glibc
import TestSupport
import Testing

@testable import AWS

/// Each source of credentials in each condition, and what comes of it.
@Suite struct CredentialMatrixTests {
    enum Source: String, CaseIterable, Sendable {
        case environment, credentialsFile, configFile, role, webIdentity, sso, legacySSO, process, container, metadata
    }

    enum Condition: String, CaseIterable, Sendable {
        case works
        /// They reach their end while the daemon runs, and the source has others by then.
        case expiresAndIsRenewed
        case broken
        case hangs
    }

    enum Outcome: Sendable, Equatable {
        /// With credentials that come from this source and are valid.
        case works
        /// With others than before.
        case renewed
        case fails(Failure.Kind)
        /// Whoever waits gives up at a deadline of their own; others are served, and later ones are not stuck.
        case isGivenUp
    }

    /// What is asked over a network or of a program can hang, and so can a file: all profiles wait for it then, since another account
    /// could be meant. What the environment holds cannot change without a restart.
    static let table: [Source: [Condition: Outcome]] = [
        .environment: [
            .works: .works, .expiresAndIsRenewed: .fails(.expiredCredentials), .broken: .fails(.noCredentials),
            .hangs: .works,
        ],
        .credentialsFile: [
            .works: .works, .expiresAndIsRenewed: .renewed, .broken: .fails(.malformedFile),
            .hangs: .fails(.deadline),
        ],
        .configFile: [
            .works: .works, .expiresAndIsRenewed: .renewed, .broken: .fails(.malformedFile),
            .hangs: .fails(.deadline),
        ],
        .role: [
            .works: .works, .expiresAndIsRenewed: .renewed, .broken: .fails(.configuration), .hangs: .isGivenUp,
        ],
        .webIdentity: [
            .works: .works, .expiresAndIsRenewed: .renewed, .broken: .fails(.configuration), .hangs: .isGivenUp,
        ],
        .sso: [
            .works: .works, .expiresAndIsRenewed: .renewed, .broken: .fails(.configuration), .hangs: .isGivenUp,
        ],
        .legacySSO: [
            .works: .works, .expiresAndIsRenewed: .renewed, .broken: .fails(.configuration), .hangs: .isGivenUp,
        ],
        .process: [
            .works: .works, .expiresAndIsRenewed: .renewed, .broken: .fails(.helperFailed), .hangs: .isGivenUp,
        ],
        .container: [
            .works: .works, .expiresAndIsRenewed: .renewed, .broken: .fails(.helperFailed), .hangs: .isGivenUp,
        ],
        .metadata: [
            .works: .works, .expiresAndIsRenewed: .renewed, .broken: .fails(.helperFailed), .hangs: .isGivenUp,
        ],
    ]

    struct Cell: Sendable, CustomTestStringConvertible {
        let source: Source
        let condition: Condition
        let outcome: Outcome
        var testDescription: String { "\(source.rawValue) \(condition.rawValue): \(outcome)" }
    }

    static let cells = Source.allCases.flatMap { source in
        Condition.allCases.compactMap { condition in
            table[source]?[condition].map { Cell(source: source, condition: condition, outcome: $0) }
        }
    }

    @Test func theTableHasEverySourceAndEveryCondition() {
        #expect(Self.cells.count == Source.allCases.count * Condition.allCases.count)
    }

    @Test(arguments: cells) func eachCellIsAsTheTableSays(_ cell: Cell) async throws {
        let house = try Household()
        let stage = try Stage(cell.source, cell.condition, house)
        let chain = house.chain(stage.variables)
        let outcome = try await outcome(cell, house, stage, chain)
        #expect(outcome == cell.outcome)
        if case .fails(let kind) = outcome { #expect(kind == .deadline || [77, 78].contains(kind.exitCode)) }
    }

    private func outcome(
        _ cell: Cell, _ house: Household, _ stage: Stage, _ chain: CredentialChain
    ) async throws -> Outcome {
        if cell.condition == .expiresAndIsRenewed { return try await afterTheEnd(house, stage, chain) }
        if cell.outcome == .isGivenUp { return try await givenUp(house, stage, chain) }
        do throws(Failure) {
            let credentials = try await chain.credentials(profile: stage.profile)
            #expect(credentials.accessKeyID.hasPrefix(stage.keyID), "\(credentials)")
            #expect(!credentials.isExpired(at: house.services.now))
            return .works
        } catch {
            let failure = error
            #expect(!failure.sentence.isEmpty)
            #expect("\(failure)".contains(stage.words), "the source is named: \(failure)")
            if failure.kind != .deadline { try await theOtherProfileIsServed(chain) }
            return .fails(failure.kind)
        }
    }

    /// Uses credentials, lets them end, lets the source have new ones, and uses them again.
    private func afterTheEnd(_ house: Household, _ stage: Stage, _ chain: CredentialChain) async throws -> Outcome {
        let first = try await chain.credentials(profile: stage.profile)
        #expect(try await chain.credentials(profile: stage.profile) == first)
        // The laptop slept beyond the end.
        house.services.advance(7_200)
        try stage.renew()
        do throws(Failure) {
            // Keys without an end of their own are over when AWS says so.
            let second =
                first.expiration == nil
                ? try await chain.replace(first, profile: stage.profile, why: "ExpiredToken")
                : try await chain.credentials(profile: stage.profile)
            #expect(!second.isExpired(at: house.services.now))
            return second == first ? .works : .renewed
        } catch {
            return .fails(error.kind)
        }
    }

    private func givenUp(_ house: Household, _ stage: Stage, _ chain: CredentialChain) async throws -> Outcome {
        let hanging = Task { try await chain.credentials(profile: stage.profile) }
        try await eventually("the source is asked") { !house.services.stub.requests.isEmpty }
        #expect(chain.awaitedSource(profile: stage.profile)?.name == stage.name)
        try await theOtherProfileIsServed(chain)
        hanging.cancel()
        let failure = await #expect(throws: Failure.self) { try await hanging.value }
        #expect(failure?.kind == .deadline)
        house.services.set(.works)
        #expect(try await chain.credentials(profile: stage.profile).accessKeyID.hasPrefix(stage.keyID))
        #expect(chain.awaitedSource(profile: stage.profile) == nil)
        return .isGivenUp
    }

    private func theOtherProfileIsServed(_ chain: CredentialChain) async throws {
        #expect(try await chain.credentials(profile: "other").accessKeyID == "AKIAOTHER")
    }
}

/// One source, set up in a household, and the means to spoil it.
private struct Stage {
    typealias Source = CredentialMatrixTests.Source

    let source: Source
    let condition: CredentialMatrixTests.Condition
    let house: Household
    let profile: String?
    var variables: [String: String] = [:]

    private static let keys = "aws_access_key_id = AKIAMINE1\naws_secret_access_key = s\n"

    init(_ source: Source, _ condition: CredentialMatrixTests.Condition, _ house: Household) throws {
        self.source = source
        self.condition = condition
        self.house = house
        profile = source == .environment ? nil : "p"
        try prepare()
        // It stands in the file that the source does not.
        let other = "aws_access_key_id = AKIAOTHER\naws_secret_access_key = s\n"
        if source == .credentialsFile {
            try house.config("[profile other]\n" + other)
        } else {
            try house.home.write(".aws/credentials", "[other]\n" + other)
        }
        switch condition {
        case .broken: house.services.set(.broken)
        case .hangs: house.services.set(.hangs)
        case .works, .expiresAndIsRenewed: break
        }
    }

    /// How the chain calls the source.
    var name: String {
        switch source {
        case .environment: "environment"
        case .credentialsFile: "shared credentials file"
        case .configFile: "config file"
        case .role: "assumed role"
        case .webIdentity: "web identity"
        case .sso, .legacySSO: "IAM Identity Center"
        case .process: "credential_process"
        case .container: "container"
        case .metadata: "instance metadata"
        }
    }

    /// What tells the source in a failure.
    var words: String {
        switch source {
        case .credentialsFile: house.home(".aws/credentials")
        case .configFile: house.home(".aws/config")
        case .role: "role arn:aws:iam::1:role/r of profile p"
        case .webIdentity: house.home("jwt")
        default: name
        }
    }

    /// How its keys begin.
    var keyID: String {
        switch source {
        case .environment, .credentialsFile, .configFile: "AKIAMINE"
        default: "ASIA"
        }
    }

    /// Lets the source have other credentials than before. The services have them by themselves.
    func renew() throws {
        let keys = Self.keys.replacing("AKIAMINE1", with: "AKIAMINE2")
        switch source {
        case .credentialsFile: try house.home.write(".aws/credentials", "[p]\n" + keys)
        case .configFile: try house.config("[profile p]\n" + keys)
        default: break
        }
    }

    private func write(_ file: String, _ header: String) throws {
        switch condition {
        case .works, .expiresAndIsRenewed: try house.home.write(file, "\(header)\n\(Self.keys)")
        case .broken: try house.home.write(file, "\(header)\n\(Self.keys.replacing("_secret_", with: "_"))rubbish\n")
        case .hangs: guard mkfifo(house.home(file), 0o600) == 0 else { throw TestFailure("no pipe: \(errno)") }
        }
    }

    /// Asks the stub as curl would, which need not be installed.
    private static let script = """
        exec 3<>/dev/tcp/127.0.0.1/$1
        printf 'GET /process HTTP/1.1\\r\\n\\r\\n' >&3
        read -r _ status _ <&3
        while read -r name value <&3 && [ "$name" != $'\\r' ]; do
          if [ "$name" = Content-Length: ]; then length=${value%$'\\r'}; fi
        done
        [ "$status" = 200 ] || { echo "the service said $status" >&2; exit 3; }
        read -r -N "$length" body <&3
        printf %s "$body"
        """

    private mutating func prepare() throws {
        let end = house.services.now.advanced(by: 1_000_000)
        switch source {
        case .environment:
            variables = [
                "AWS_ACCESS_KEY_ID": "AKIAMINE1", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t",
                "AWS_CREDENTIAL_EXPIRATION": "\(house.services.now.advanced(by: 3_600))",
            ]
            if condition == .broken { variables["AWS_SECRET_ACCESS_KEY"] = nil }
        case .credentialsFile: try write(".aws/credentials", "[p]")
        case .configFile: try write(".aws/config", "[profile p]")
        case .role:
            try house.config(
                "[profile p]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = other\nregion = eu-west-1\n")
        case .webIdentity:
            let path = try house.home.write("jwt", "ey.token\n")
            try house.config("[profile p]\nrole_arn = arn:aws:iam::1:role/r\nweb_identity_token_file = \(path)")
        case .sso:
            try house.config(
                "[profile p]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp"
            )
            try house.token("corp", #""accessToken":"old","expiresAt":"\#(end)","startUrl":"https://corp""#)
        case .legacySSO:
            try house.config(
                "[profile p]\nsso_account_id = 1\nsso_role_name = r\nsso_region = eu-west-1\nsso_start_url = https://corp"
            )
            try house.token("https://corp", #""accessToken":"old","expiresAt":"\#(end)""#)
        case .process:
            let script = try house.home.write("process.sh", Self.script)
            try house.config("[profile p]\ncredential_process = /bin/bash \(script) \(house.services.stub.port)")
        case .container:
            try house.config("[profile p]")
            variables = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(house.services.stub.url)/container"]
        case .metadata:
            try house.config("[profile p]")
            variables = [
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": house.services.stub.url, "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_METADATA_SERVICE_TIMEOUT": "60",
            ]
        }
    }
}
