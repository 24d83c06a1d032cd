import EicectlCommands

@main enum Program {
    static func main() {
        Commands.run(CommandLine.arguments)
    }
}
