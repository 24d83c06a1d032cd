/// An environment variable of the AWS CLI, and what becomes of the value that a shell has: the table of which variables travel
/// with a request, and which must be the daemon's own.
///
/// The variables are those of AWS CLI v2: botocore's `BOTOCORE_DEFAUT_SESSION_VARIABLES`, those that its other files read, and
/// the AWS CLI User Guide, "Configuring environment variables". A test compares the table with botocore.
public struct AWSVariable: Hashable, Sendable {
    public enum Treatment: Hashable, Sendable {
        /// Sent, and counts for the request and for a forward that it adds.
        case travels
        /// Sent to be compared with the daemon's own value, and not kept. A request that needs it is refused when the two differ.
        case compared
        /// A secret that belongs to a compared variable. It is never sent.
        case secret
        /// Names credentials that eiced cannot read. A request that needs it is refused.
        case unreadable
        /// A setting of the machine, not of an account: the daemon's own value counts.
        case machine
        /// Changes nothing that eiced does.
        case ignored
    }

    /// Variables that count together: when the shell sets one of them, the daemon's values of the others do not count.
    public enum Group: Hashable, Sendable, CaseIterable {
        case files, region, endpoints
        // Ways to name an identity.
        case keys, profile, webIdentity, legacyFile, container, metadata

        /// Whether it says whose credentials are used. A shell that says so in one way means none of the daemon's other ways.
        public var isIdentity: Bool {
            switch self {
            case .files, .region, .endpoints: false
            case .keys, .profile, .webIdentity, .legacyFile, .container, .metadata: true
            }
        }
    }

    /// A name; with `*` at its end, all names that begin so.
    public let name: String
    public let treatment: Treatment
    /// Nil for a variable that counts by itself.
    public let group: Group?
    /// Whether it names an identity without another variable's help.
    public let decides: Bool
    /// Whether its value is a path, which is relative to the shell's folder.
    public let isPath: Bool

    private init(
        _ name: String, _ treatment: Treatment, _ group: Group? = nil, decides: Bool = false, isPath: Bool = false
    ) {
        self.name = name
        self.treatment = treatment
        self.group = group
        self.decides = decides
        self.isPath = isPath
    }

    /// Whether `eicectl` sends the value.
    public var isSent: Bool { treatment == .travels || treatment == .compared || treatment == .unreadable }

    /// The variable of a name; nil for a variable that is not AWS's.
    public static func named(_ name: String) -> AWSVariable? {
        all.first { $0.name == name }
            ?? all.first { $0.name.utf8.last == UInt8(ascii: "*") && name.utf8.starts(with: $0.name.utf8.dropLast()) }
    }

    public static let all: [AWSVariable] = [
        // Whose credentials, in the order in which the AWS CLI asks (botocore's `create_credential_resolver`).
        .init("AWS_ACCESS_KEY_ID", .compared, .keys, decides: true),
        .init("AWS_SECRET_ACCESS_KEY", .secret, .keys),
        .init("AWS_SESSION_TOKEN", .secret, .keys),
        .init("AWS_SECURITY_TOKEN", .secret, .keys),
        .init("AWS_CREDENTIAL_EXPIRATION", .secret, .keys),
        .init("AWS_PROFILE", .travels, .profile, decides: true),
        .init("AWS_DEFAULT_PROFILE", .travels, .profile, decides: true),
        .init("AWS_WEB_IDENTITY_TOKEN_FILE", .travels, .webIdentity, decides: true, isPath: true),
        .init("AWS_ROLE_ARN", .travels, .webIdentity),
        .init("AWS_ROLE_SESSION_NAME", .travels, .webIdentity),
        .init("AWS_CREDENTIAL_FILE", .unreadable, .legacyFile, decides: true, isPath: true),
        .init("BOTO_CONFIG", .unreadable, .legacyFile, decides: true, isPath: true),
        .init("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", .compared, .container, decides: true),
        .init("AWS_CONTAINER_CREDENTIALS_FULL_URI", .compared, .container, decides: true),
        .init("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", .compared, .container, isPath: true),
        .init("AWS_CONTAINER_AUTHORIZATION_TOKEN", .secret, .container),
        .init("AWS_EC2_METADATA_SERVICE_ENDPOINT", .travels, .metadata, decides: true),

        // How the metadata service is asked.
        .init("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", .travels),
        .init("AWS_IMDS_USE_IPV6", .travels),
        .init("AWS_EC2_METADATA_DISABLED", .travels),
        .init("AWS_METADATA_SERVICE_TIMEOUT", .travels),
        .init("AWS_METADATA_SERVICE_NUM_ATTEMPTS", .travels),

        // Where profiles are read.
        .init("AWS_CONFIG_FILE", .travels, .files, decides: true, isPath: true),
        .init("AWS_SHARED_CREDENTIALS_FILE", .travels, .files, decides: true, isPath: true),

        // Which services are asked, and which authorities are trusted. Instance Connect Endpoints have their names from EC2.
        .init("AWS_REGION", .travels, .region),
        .init("AWS_DEFAULT_REGION", .travels, .region),
        .init("AWS_ENDPOINT_URL", .travels, .endpoints),
        .init("AWS_ENDPOINT_URL_EC2", .travels, .endpoints),
        .init("AWS_ENDPOINT_URL_STS", .travels, .endpoints),
        .init("AWS_ENDPOINT_URL_SSO", .travels, .endpoints),
        .init("AWS_ENDPOINT_URL_SSO_OIDC", .travels, .endpoints),
        .init("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", .travels, .endpoints),
        .init("AWS_USE_FIPS_ENDPOINT", .travels),
        .init("AWS_USE_DUALSTACK_ENDPOINT", .travels),
        .init("AWS_CA_BUNDLE", .travels, isPath: true),

        // How the network is reached from this machine. Names in small letters count as well.
        .init("HTTPS_PROXY", .machine),
        .init("HTTP_PROXY", .machine),
        .init("ALL_PROXY", .machine),
        .init("NO_PROXY", .machine),
        .init("SSL_CERT_FILE", .machine),
        .init("SSL_CERT_DIR", .machine),
        // botocore's last resort for trust, which eiced does not read in any environment.
        .init("REQUESTS_CA_BUNDLE", .ignored),

        // Services that eiced does not call, and tokens for them.
        .init("AWS_ENDPOINT_URL_*", .ignored),
        .init("AWS_BEARER_TOKEN_*", .ignored),
        .init("AWS_S3_DISABLE_EXPRESS_SESSION_AUTH", .ignored),
        .init("AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS", .ignored),
        .init("AWS_S3_USE_ARN_REGION", .ignored),
        .init("AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", .ignored),
        .init("AWS_SSM_START_SESSION_RESPONSE", .ignored),
        .init("AWS_LAMBDA_FUNCTION_NAME", .ignored),

        // The cache of `aws login`, whose sessions no other program can use.
        .init("AWS_LOGIN_CACHE_DIRECTORY", .ignored),
        // An account's number chooses addresses of services that have one for each account; EC2 and STS have none.
        .init("AWS_ACCOUNT_ID", .ignored),
        .init("AWS_ACCOUNT_ID_ENDPOINT_MODE", .ignored),
        // eiced speaks version 2 of the metadata service alone, and calls STS in its region alone.
        .init("AWS_EC2_METADATA_V1_DISABLED", .ignored),
        .init("AWS_STS_REGIONAL_ENDPOINTS", .ignored),

        // How calls are made and repeated. eiced has rules of its own.
        .init("AWS_AUTH_SCHEME_PREFERENCE", .ignored),
        .init("AWS_CSM_CLIENT_ID", .ignored),
        .init("AWS_CSM_ENABLED", .ignored),
        .init("AWS_CSM_HOST", .ignored),
        .init("AWS_CSM_PORT", .ignored),
        .init("AWS_DATA_PATH", .ignored),
        .init("AWS_DEFAULTS_MODE", .ignored),
        .init("AWS_DISABLE_HOST_PREFIX_INJECTION", .ignored),
        .init("AWS_DISABLE_REQUEST_COMPRESSION", .ignored),
        .init("AWS_ENDPOINT_DISCOVERY_ENABLED", .ignored),
        .init("AWS_EXECUTION_ENV", .ignored),
        .init("AWS_MAX_ATTEMPTS", .ignored),
        .init("AWS_NEW_RETRIES_2026", .ignored),
        .init("AWS_PARTITION", .ignored),
        .init("AWS_REQUEST_CHECKSUM_CALCULATION", .ignored),
        .init("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", .ignored),
        .init("AWS_RESPONSE_CHECKSUM_VALIDATION", .ignored),
        .init("AWS_RETRY_MODE", .ignored),
        .init("AWS_SDK_UA_APP_ID", .ignored),
        .init("AWS_SIGV4A_SIGNING_REGION_SET", .ignored),
        .init("BOTOCORE_EXPERIMENTAL__PLUGINS", .ignored),
        .init("BOTOCORE_TCP_KEEPALIVE", .ignored),
        .init("BOTO_DISABLE_CRT", .ignored),
        .init("BOTO_EXPERIMENTAL__*", .ignored),

        // What the AWS CLI prints, and how it asks its user.
        .init("AWS_CLI_*", .ignored),
        .init("AWS_COLOR", .ignored),
        .init("AWS_DEFAULT_OUTPUT", .ignored),
        .init("AWS_PAGER", .ignored),
        .init("AWS_TEST_COMMAND", .ignored),
    ]
}
