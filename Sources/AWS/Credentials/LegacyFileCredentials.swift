import Failures

/// The credential files of tools before the AWS CLI, which it still reads (botocore's `OriginalEC2Provider` and `BotoProvider`):
/// `AWS_CREDENTIAL_FILE` and `BOTO_CONFIG`. eiced does not read them, and refuses a request whose shell names one where the AWS
/// CLI would use it.
struct LegacyFileCredentials: CredentialSource {
    let name = "legacy file"

    func credentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        try context.environment.checkWithheld(["AWS_CREDENTIAL_FILE", "BOTO_CONFIG"])
        return nil
    }
}
