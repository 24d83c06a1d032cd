import Soak

/// The soak's entry: everything is in the Soak module.
@main
struct SoakProgram {
    static func main() async { await SoakCommand.main() }
}
