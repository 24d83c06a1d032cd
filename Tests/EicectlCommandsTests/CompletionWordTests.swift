import ArgumentParser
import Testing

@testable import EicectlCommands

@Suite struct CompletionWordTests {
    @Test(
        "words that mean themselves in every shell are offered",
        arguments: [
            "web", "web-1", "i-0123456789abcdef0", "a.b_c", "my/asg", "10.0.1.5", "eu-west-1", "C,D", "a+b", "_x",
        ])
    func safe(word: String) { #expect(CompletionWord.isSafe(word)) }

    @Test(
        "words that a shell could take for anything else are not",
        arguments: [
            "", "$(id)", "`id`", "${x:=$(id)}", "a\n$(id)", "a\r\nb", "a\tb", "a b", "a;b", "a&b", "a|b", "a>b", "a<b",
            "'a", "\"a",
            "a\\b", "*", "a?", "[a]", "{a,b}", "~", "~root", "-a", "--profile", "!1", "a!b", "#a", "a=b", "a:b", "a@b",
            "%1", "^a", "=ls",
            "(a)", "$x", "a\u{1B}[2J", "a\u{85}", "a\u{2028}", "a\u{202E}b", "é", "日本語", "+1", ",a", "a\0b",
            String(repeating: "a", count: 257),
        ])
    func unsafe(word: String) { #expect(!CompletionWord.isSafe(word)) }

    @Test("the script for bash expands nothing that a command printed") func bashScript() throws {
        let script = try #require(BashScript.safe(EicectlCommand.completionScript(for: .bash)))
        #expect(script.contains("__eicectl_add_words \"$(__eicectl_custom_complete"))
        for line in script.split(separator: "\n") where line.contains("compgen") || line.contains("eval ") {
            // What stands there are the script's own words.
            #expect(!line.contains("$(__eicectl") && !line.contains("eval "), "\(line)")
        }
        #expect(!script.contains("-W \"$("))
    }
}
