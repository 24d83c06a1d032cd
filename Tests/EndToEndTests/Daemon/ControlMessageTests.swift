import TestSupport
import Testing

/// Control messages that no client of ours sends.
@Suite struct ControlMessageTests {
    static let hello = #"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":{"major":1,"minor":0}}}"#

    @Test func everyBadLineIsAnsweredAndTheSessionGoesOn() async throws {
        try await Scene.alone { daemon in
            let socket = try LoopbackSocket.connect(path: daemon.socket)
            let answers = try await onThread {
                try socket.write(Self.hello + "\n")
                var answers = [try socket.readLine()]
                for line in [
                    "{", "[]", "42", #"{"jsonrpc":"2.0","id":2}"#, #"{"jsonrpc":"2.0","id":3,"method":"no.such"}"#,
                    #"{"jsonrpc":"2.0","id":4,"method":"forward.add","params":{"target":7}}"#,
                    #"{"jsonrpc":"1.0","id":5,"method":"status"}"#, #"{"jsonrpc":"2.0","method":"status"}"#,
                    "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"sta\u{0}tus\"}",
                    #"{"jsonrpc":"2.0","id":7,"method":"forward.list"}"#,
                ] {
                    try socket.write(line + "\n")
                    answers.append(try socket.readLine())
                }
                return answers
            }
            try #require(answers.count == 11)
            for answer in answers.dropFirst().dropLast() {
                #expect(answer.contains("\"error\""), "\(answer)")
            }
            #expect(answers[5].contains("unknown-method") && answers[5].contains("\"id\":3"), "\(answers[5])")
            #expect(answers[10].contains("\"forwards\""), "the session still works: \(answers[10])")
        }
    }

    @Test func aLineThatIsTooLongIsSkippedAndAnswered() async throws {
        try await Scene.alone { daemon in
            let socket = try LoopbackSocket.connect(path: daemon.socket)
            let answers = try await onThread {
                try socket.write(Self.hello + "\n")
                var answers = [try socket.readLine()]
                try socket.write([UInt8](repeating: UInt8(ascii: "x"), count: 3 << 20) + [UInt8(ascii: "\n")])
                answers.append(try socket.readLine())
                try socket.write(#"{"jsonrpc":"2.0","id":7,"method":"forward.list"}"# + "\n")
                answers.append(try socket.readLine())
                return answers
            }
            #expect(answers[1].contains("line-too-long"), "\(answers[1])")
            #expect(answers[2].contains("\"forwards\""), "\(answers[2])")
        }
    }

    @Test func anotherMajorIsRefusedByName() async throws {
        try await Scene.alone { daemon in
            let socket = try LoopbackSocket.connect(path: daemon.socket)
            let answer = try await onThread {
                try socket.write(
                    #"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":{"major":9,"minor":0}}}"# + "\n")
                return String(decoding: try socket.readToEnd(), as: UTF8.self)
            }
            #expect(answer.contains("protocol-mismatch"), "\(answer)")
        }
    }

    @Test func aRequestBeforeHelloIsRefused() async throws {
        try await Scene.alone { daemon in
            let socket = try LoopbackSocket.connect(path: daemon.socket)
            let answer = try await onThread {
                try socket.write(#"{"jsonrpc":"2.0","id":1,"method":"status"}"# + "\n")
                return try socket.readLine()
            }
            #expect(answer.contains("\"error\""), "\(answer)")
        }
    }

    @Test func oneHundredThatSayNothingAreClosedByTheDeadlineAndHinderNobody() async throws {
        try await Scene.alone(timeouts: ["hello": "4s"]) { daemon in
            // Once it answers all that it opens at its start is open.
            _ = try await daemon.status()
            let before = daemon.process.facts.descriptorCount ?? 0
            let path = daemon.socket
            let silent = try (0..<100).map { number in
                let socket = try LoopbackSocket.connect(path: path)
                // Half of them say half a line.
                if number % 2 == 0 { try socket.write(#"{"jsonrpc""#) }
                return socket
            }
            let result = try await daemon.eicectl("ls")
            #expect(result.code == 0, "\(result)")
            for socket in silent {
                let rest = try await onThread { try socket.readToEnd() }
                #expect(rest.isEmpty || String(decoding: rest, as: UTF8.self).contains("error"))
            }
            try await eventually("their descriptors are back") {
                (daemon.process.facts.descriptorCount ?? .max) <= before
            }
        }
    }

    @Test func aShellScriptCanSpeakTheProtocol() async throws {
        try await Scene.alone { daemon in
            let script = """
                printf '%s\\n' '\(Self.hello)' '{"jsonrpc":"2.0","id":2,"method":"status"}' |
                    nc -N -U '\(daemon.socket)' | jq -r 'select(.id == 2) | .result.pid'
                """
            let result = try await ChildProcess.run("/bin/sh", ["-c", script])
            #expect(result.output == "\(daemon.process.pid)\n", "\(result)")
        }
    }
}
