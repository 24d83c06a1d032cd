import EicectlProxy

@main enum Program {
    static func main() {
        Eicectl.run(CommandLine.arguments)
    }
}
