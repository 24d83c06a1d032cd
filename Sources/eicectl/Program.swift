import Descriptors
import EicectlProxy

@main enum Program {
    static func main() {
        Eicectl.run(ProcessStart.arguments)
    }
}
