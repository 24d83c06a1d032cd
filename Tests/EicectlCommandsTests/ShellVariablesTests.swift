import ControlProtocol
import Failures
import TestSupport
import Testing

@testable import EicectlProxy

@Suite struct ShellVariablesTests {
    private func caller(_ environment: [String: String], folder: String? = "/work") throws(Failure) -> CallerEnvironment
    {
        try ShellVariables(variable: { environment[$0] }, folder: { folder }).caller()
    }

    @Test("each variable that is sent arrives by its name or in its field, and no other does")
    func everyVariable() throws {
        for variable in AWSVariable.all where variable.name.last != "*" {
            let sent = try caller([variable.name: "/value"])
            let request = QuickConnect.request(
                ConnectParameters(
                    target: "i", remotePort: 22,
                    options: try ShellVariables(variable: { $0 == variable.name ? "/value" : nil }, folder: { "/" })
                        .completing(TunnelOptions())),
                client: "c")
            #expect(String(decoding: request, as: UTF8.self).contains("/value") == variable.isSent, "\(variable.name)")
            guard variable.isSent else {
                #expect(sent.isEmpty, "\(variable.name)")
                continue
            }
            if CallerEnvironment.hasField(variable) {
                let fields = [sent.profile, sent.region, sent.defaultRegion, sent.accessKeyID].compactMap { $0 }
                #expect(fields == ["/value"] && sent.variables == nil, "\(variable.name)")
            } else {
                #expect(sent.variables == [variable.name: "/value"], "\(variable.name)")
            }
        }
    }

    @Test("AWS_PROFILE counts for more than AWS_DEFAULT_PROFILE")
    func profiles() throws {
        #expect(try caller(["AWS_DEFAULT_PROFILE": "d"]).profile == "d")
        #expect(try caller(["AWS_DEFAULT_PROFILE": "d", "AWS_PROFILE": "p"]).profile == "p")
        #expect(try caller(["AWS_DEFAULT_PROFILE": "d", "AWS_PROFILE": ""]).profile == "d")
    }

    @Test("a path is made absolute as the AWS CLI finds the file in this shell")
    func paths() throws {
        let shell = ["HOME": "/home/me", "WHERE": "/etc/aws"]
        let paths = [
            "/a/b": "/a/b", "a/b": "/work/a/b", "../x": "/work/../x", "~/c": "/home/me/c", "$WHERE/c": "/etc/aws/c",
            "${WHERE}c": "/etc/awsc", "$UNKNOWN/c": "/work/$UNKNOWN/c",
        ]
        for variable in AWSVariable.all where variable.isPath {
            for (path, expected) in paths {
                let sent = try caller(shell.merging([variable.name: path]) { $1 })
                #expect(sent.variables?[variable.name] == expected, "\(variable.name)=\(path)")
            }
        }
        // What is no path stays as it is.
        #expect(try caller(["AWS_ROLE_ARN": "r"]).variables == ["AWS_ROLE_ARN": "r"])
    }

    @Test("a relative path in a folder that is gone is an error that names the variable")
    func folderGone() throws {
        let failure = #expect(throws: Failure.self) { try caller(["AWS_CONFIG_FILE": "config"], folder: nil) }
        #expect(failure?.kind == .usage && failure?.what.contains("AWS_CONFIG_FILE") == true)
        #expect(try caller(["AWS_CONFIG_FILE": "/config"], folder: nil).variables == ["AWS_CONFIG_FILE": "/config"])
    }

    @Test("AWS's files are told from files that do not exist")
    func files() throws {
        let folder = try TemporaryDirectory()
        let file = try folder.write("config", "")
        let sent = try caller(["AWS_CONFIG_FILE": file, "AWS_SHARED_CREDENTIALS_FILE": folder("none")])
        #expect(sent.files == ["AWS_CONFIG_FILE"])
    }
}
