import ControlProtocol
import FoundationEssentials
import TestSupport
import Testing

@Suite struct AWSVariableTests {
    @Test("each variable has one row, and a row that counts has what it needs")
    func rows() {
        #expect(Set(AWSVariable.all.map(\.name)).count == AWSVariable.all.count)
        for variable in AWSVariable.all {
            #expect(AWSVariable.named(variable.name) == variable)
            // A secret is covered by a value that is compared.
            if variable.treatment == .secret {
                #expect(
                    AWSVariable.all.contains { $0.group == variable.group && $0.treatment == .compared && $0.decides },
                    "\(variable.name)")
            }
            if variable.treatment == .compared || variable.treatment == .unreadable {
                #expect(variable.group?.isIdentity == true, "\(variable.name)")
            }
        }
    }

    @Test(
        "what is secret is never sent",
        arguments: [
            "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            "AWS_BEARER_TOKEN_BEDROCK",
        ])
    func secrets(name: String) {
        #expect(AWSVariable.named(name)?.isSent == false)
    }

    @Test("a name with a star covers the names that begin so, unless they have a row of their own")
    func patterns() {
        #expect(AWSVariable.named("AWS_ENDPOINT_URL_EC2")?.treatment == .travels)
        #expect(AWSVariable.named("AWS_ENDPOINT_URL_DYNAMODB")?.treatment == .ignored)
        #expect(AWSVariable.named("AWS_ENDPOINT_URLS") == nil)
        #expect(AWSVariable.named("AWS_PROFILE_") == nil)
    }

    /// AWS CLI User Guide, "Configuring environment variables for the AWS CLI", and AWS SDKs and Tools Reference Guide,
    /// "Supported environment variables".
    @Test(
        "the table has every variable that AWS documents",
        arguments: """
            AWS_ACCESS_KEY_ID AWS_ACCOUNT_ID AWS_ACCOUNT_ID_ENDPOINT_MODE AWS_CA_BUNDLE AWS_CLI_AUTO_PROMPT
            AWS_CLI_FILE_ENCODING AWS_CLI_S3_MV_VALIDATE_SAME_S3_PATHS AWS_CONFIG_FILE
            AWS_CONTAINER_AUTHORIZATION_TOKEN AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
            AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_DATA_PATH AWS_DEFAULTS_MODE
            AWS_DEFAULT_OUTPUT AWS_DEFAULT_PROFILE AWS_DEFAULT_REGION AWS_DISABLE_REQUEST_COMPRESSION
            AWS_EC2_METADATA_DISABLED AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE
            AWS_EC2_METADATA_V1_DISABLED AWS_ENDPOINT_DISCOVERY_ENABLED AWS_ENDPOINT_URL AWS_ENDPOINT_URL_EC2
            AWS_ENDPOINT_URL_S3 AWS_ENDPOINT_URL_SSO AWS_ENDPOINT_URL_SSO_OIDC AWS_ENDPOINT_URL_STS
            AWS_IGNORE_CONFIGURED_ENDPOINT_URLS AWS_IMDS_USE_IPV6 AWS_LOGIN_CACHE_DIRECTORY AWS_MAX_ATTEMPTS
            AWS_METADATA_SERVICE_NUM_ATTEMPTS AWS_METADATA_SERVICE_TIMEOUT AWS_PAGER AWS_PROFILE AWS_REGION
            AWS_REQUEST_CHECKSUM_CALCULATION AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES AWS_RESPONSE_CHECKSUM_VALIDATION
            AWS_RETRY_MODE AWS_ROLE_ARN AWS_ROLE_SESSION_NAME AWS_S3_DISABLE_EXPRESS_SESSION_AUTH
            AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS AWS_S3_USE_ARN_REGION AWS_SDK_UA_APP_ID AWS_SECRET_ACCESS_KEY
            AWS_SESSION_TOKEN AWS_SHARED_CREDENTIALS_FILE AWS_SIGV4A_SIGNING_REGION_SET AWS_STS_REGIONAL_ENDPOINTS
            AWS_USE_DUALSTACK_ENDPOINT AWS_USE_FIPS_ENDPOINT AWS_WEB_IDENTITY_TOKEN_FILE HTTP_PROXY HTTPS_PROXY NO_PROXY
            """.split(whereSeparator: \.isWhitespace).map(String.init))
    func documented(name: String) {
        #expect(AWSVariable.named(name) != nil)
    }

    /// Prints the variables that botocore, and the AWS CLI if it is there, read: those of botocore's session, and every name in
    /// quotes in their sources.
    private static let script = #"""
        import importlib.util, os, re, botocore, botocore.configprovider as c
        names = set()
        tables = [c.BOTOCORE_DEFAUT_SESSION_VARIABLES, c.DEFAULT_S3_CONFIG_VARS, c.DEFAULT_PROXIES_CONFIG_VARS]
        for table in tables:
            for row in table.values():
                names.update(row[1] if isinstance(row[1], list) else [row[1]] if row[1] else [])
        quoted = re.compile(r"""['"]((?:AWS|BOTO|BOTOCORE)_[A-Z0-9_]+)['"{]""")
        folders = [os.path.dirname(botocore.__file__)]
        cli = importlib.util.find_spec("awscli")
        folders += list(cli.submodule_search_locations) if cli else []
        for folder in folders:
            for path, _, files in os.walk(folder):
                for file in files:
                    if file.endswith(".py"):
                        with open(os.path.join(path, file), encoding="utf-8") as text:
                            names.update(quoted.findall(text.read()))
        print("\n".join(sorted(names)))
        """#

    @Test(
        "the table has every variable that botocore reads",
        .enabled("there is no botocore here") { try await Python.has("botocore") })
    func botocore() async throws {
        let names = try await Python.run("-c", Self.script).split(separator: "\n").map(String.init)
        #expect(names.count > 50, "the script finds too few to be right: \(names)")
        for name in names {
            // The script sees the beginning of a name that is put together.
            let isKnown = AWSVariable.named(name) != nil || name.hasSuffix("_") && AWSVariable.named(name + "X") != nil
            #expect(isKnown, "AWSVariable.all lacks \(name)")
        }
    }

    @Test("docs/credentials.md has a row for each variable that is sent, secret or the machine's")
    func documentation() throws {
        let page = try Repository.text("docs/credentials.md")
        let rows = page.split(separator: "\n").filter { $0.hasPrefix("| `") }
        for variable in AWSVariable.all where variable.treatment != .ignored {
            #expect(rows.contains { $0.contains("`\(variable.name)`") }, "\(variable.name)")
        }
    }

    /// botocore's own table says which variables change a session; none of those that it shares with eiced may be missing here.
    @Test("the variables that name an identity or a service travel or are compared")
    func importantOnes() {
        let important = """
            AWS_ACCESS_KEY_ID AWS_PROFILE AWS_DEFAULT_PROFILE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_ROLE_ARN
            AWS_ROLE_SESSION_NAME AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
            AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE AWS_CREDENTIAL_FILE BOTO_CONFIG
            AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_EC2_METADATA_DISABLED AWS_REGION AWS_DEFAULT_REGION AWS_ENDPOINT_URL
            AWS_ENDPOINT_URL_EC2 AWS_ENDPOINT_URL_STS AWS_ENDPOINT_URL_SSO AWS_ENDPOINT_URL_SSO_OIDC
            AWS_IGNORE_CONFIGURED_ENDPOINT_URLS AWS_USE_FIPS_ENDPOINT AWS_USE_DUALSTACK_ENDPOINT AWS_CA_BUNDLE
            """.split(whereSeparator: \.isWhitespace).map(String.init)
        for name in important { #expect(AWSVariable.named(name)?.isSent == true, "\(name)") }
    }
}
