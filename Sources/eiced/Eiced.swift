import Daemon

/// The daemon's entry: everything is in the Daemon module.
@main
enum Eiced {
    static func main() { EicedCommand.start() }
}
