import Benchmark

/// The benchmarks' entry: everything is in the Benchmark module.
@main
struct BenchProgram {
    static func main() async { await BenchCommand.main() }
}
