import Descriptors
import EicectlCommands

@main enum Program {
    static func main() {
        Commands.run(ProcessStart.arguments)
    }
}
