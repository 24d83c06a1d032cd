import EICEEmulator

/// A local EC2 Instance Connect Endpoint. All of it is in module EICEEmulator.
@main
struct EmulatorProgram {
    static func main() async { await EmulatorCommand.start() }
}
