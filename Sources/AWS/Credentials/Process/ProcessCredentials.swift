import Basics
import Failures
import Glibc

/// `credential_process`: a program that prints credentials as JSON (AWS SDKs and Tools Reference Guide, "Process credential
/// provider"). Run without a shell, at most 60 seconds long; what it prints is never shown, but the beginning of its error
/// stream is.
public struct ProcessCredentials: CredentialSource {
    public let name = "credential_process"
    public let isLocal = true
    private let timeout: Duration

    public init(timeout: Duration = .seconds(60)) { self.timeout = timeout }

    public func credentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        guard let command = context.profile["credential_process"] else { return nil }
        let place = context.profile.place(of: "credential_process")
        let what = "the credential_process of profile \(context.profile.name) failed"
        guard let words = ShellWords.split(command), let program = words.first else {
            throw Failure(
                .malformedFile, place, why: "credential_process is no command: a quote is not closed, or it is empty")
        }
        let origin = "the credential_process of profile \(context.profile.name)"
        let environment = context.environment.withoutServiceManager
        let launch = HelperLaunch(
            words, unit: "eiced-credentials-\(String(UInt64.random(in: 0...UInt64.max), radix: 16))",
            environment: environment, timeout: timeout,
            hasServiceManager: HelperLaunch.hasServiceManager(environment))
        func failed(_ why: String) -> Failure {
            let inside =
                launch.sandbox.map { "; it ran inside of \($0), which hides the home: loosen or mask that" } ?? ""
            return Failure(
                .helperFailed, what, why: "\(program): \(why)", hint: "run it yourself; it stands at \(place)\(inside)")
        }
        let output: HelperProcess.Output
        do {
            output = try await HelperProcess(arguments: launch.arguments, environment: environment, timeout: timeout)
                .run()
        } catch {
            if let ending = launch.ending {
                // Not by this task, which may have been cancelled; and nobody has to wait for it.
                Task.detached {
                    _ = try? await HelperProcess(arguments: ending, environment: environment, timeout: .seconds(5))
                        .run()
                }
            }
            switch error {
            case .notStarted(let code): throw failed(String(cString: strerror(code)))
            case .tooLate: throw failed("it did not end within \(timeout.components.seconds) s and was killed")
            case .stuck: throw failed("it was killed and has not ended; its file system does not answer")
            case .tooMuch: throw failed("it printed more than 64 KiB and was killed")
            case .cancelled: throw Failure(.deadline, what, why: "it took too long and was given up")
            }
        }
        guard output.status == 0 else {
            // It may have had credentials to print, and have printed them to the wrong place.
            let printed = [output.output, output.errors].compactMap { CredentialDocument($0) }
            let errors = Redaction(printed.flatMap(\.secrets))
                .text(String(decoding: output.errors, as: UTF8.self), limit: 500)
            let end = output.status.map { "exit status \($0)" } ?? "it was killed"
            throw failed(errors.isEmpty ? end : "\(end): \(errors)")
        }
        guard let document = CredentialDocument(output.output) else {
            throw failed("what it printed is no JSON object with credentials")
        }
        guard document.version == 1 else {
            let found = document.version.map(String.init) ?? "none"
            throw failed("its JSON must have \"Version\": 1; \(found) was found")
        }
        switch document.credentials(origin: origin, renewal: "log in to what \(program) uses, then try again") {
        case .success(let credentials): return credentials
        case .failure(let missing): throw failed("its JSON is not complete: \(missing.what)")
        }
    }
}
