// swift-tools-version: 6.2
// A section for each target, leaves first, each with its tests. A target declares exactly what it imports: `make lint` checks
// both ways (scripts/lint-targets.sh), and the build fails for an import that nothing brings in.

import PackageDescription

/// Warnings are errors for our own targets only: a dependency's new warning must not stop a build.
///
/// That nobody changes what somebody else is changing is checked while a debug build runs, in which all tests run. In a
/// release build these checks would be a quarter of what a small message costs.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

/// The fuzz targets link with libFuzzer alone, which `make fuzz` brings (scripts/fuzz.sh).
let isFuzzed = Context.environment["EICED_FUZZ"] != nil

/// How the C and C++ of what is installed is compiled: stack protector and probes, marked branch targets, bounds checked where the
/// compiler knows them (which the address sanitizer does better). SwiftPM has no safer name for such flags.
#if arch(x86_64)
    let branchTargets = "-fcf-protection=full"
#else
    let branchTargets = "-mbranch-protection=standard"
#endif
let hardening =
    isFuzzed
    ? [] : ["-fstack-protector-strong", "-fstack-clash-protection", branchTargets, "-D_FORTIFY_SOURCE=3"]
let hardenedC: [CSetting] = [.unsafeFlags(hardening, .when(configuration: .release))]
let hardenedCxx: [CXXSetting] = [.unsafeFlags(hardening, .when(configuration: .release))]

/// How it is linked: symbols are bound before it starts, and then their table is read-only; scripts/hardening.sh looks. lld, which is
/// part of Swift's toolchain, packs the table of pointers that are adjusted at the start (1 MB otherwise), and leaves out the names
/// of Swift's symbols for other libraries to find.
let hardenedLink: [LinkerSetting] = [
    .unsafeFlags(
        [
            "-use-ld=lld", "-Xlinker", "-z", "-Xlinker", "relro", "-Xlinker", "-z", "-Xlinker", "now",
            "-Xlinker", "-z", "-Xlinker", "pack-relative-relocs", "-Xlinker", "--no-export-dynamic",
        ], .when(configuration: .release))
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")

let package = Package(
    name: "eiced",
    products: [
        .executable(name: "eiced", targets: ["eiced"]),
        .executable(name: "eicectl", targets: ["eicectl"]),
        .executable(name: "eicectl-commands", targets: ["eicectl-commands"]),
        .executable(name: "eice-emulator", targets: ["eice-emulator"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    ],
    targets: [
        // C libraries of the system, and what Swift's Glibc module does not import.
        .systemLibrary(name: "CSystemd", providers: [.apt(["libsystemd-dev"])]),
        .systemLibrary(name: "CExpat", providers: [.apt(["libexpat1-dev"])]),
        .target(
            name: "COpenSSL", cSettings: hardenedC,
            linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(name: "CCurl", cSettings: hardenedC),
        .target(name: "CLinux", cSettings: hardenedC),
        .target(name: "CTOML", cxxSettings: hardenedCxx),

        // The error every part reports with.
        .target(name: "Failures", swiftSettings: strict),
        .testTarget(name: "FailuresTests", dependencies: ["Failures", "TestSupport"], swiftSettings: strict),

        // Encodings, addresses of hosts, and what takes secrets out of foreign text.
        .target(name: "Basics", dependencies: ["Failures"], swiftSettings: strict),
        .testTarget(name: "BasicsTests", dependencies: ["Basics", "Failures"], swiftSettings: strict),

        // Descriptors and failed system calls, for programs without an event loop too.
        .target(name: "Descriptors", dependencies: ["CLinux"], swiftSettings: strict),

        // Bounds in time: threads for work that blocks, and caches that drop entries after a day without use.
        .target(name: "Bounds", swiftSettings: strict),
        .testTarget(name: "BoundsTests", dependencies: ["Bounds", "TestSupport"], swiftSettings: strict),

        // Sockets and Dispatch; knows no TLS, no AWS.
        .target(name: "SocketIO", dependencies: ["Bounds", "CLinux", "Descriptors"], swiftSettings: strict),
        .testTarget(
            name: "SocketIOTests", dependencies: ["Bounds", "SocketIO", "CLinux", "TestSupport"], swiftSettings: strict),

        // The only importer of COpenSSL, with its tests.
        .target(name: "OpenSSL", dependencies: ["COpenSSL"], swiftSettings: strict),
        .testTarget(name: "OpenSSLTests", dependencies: ["COpenSSL", "OpenSSL"], swiftSettings: strict),

        // RFC 6455, both roles; no I/O, no clock.
        .target(name: "WebSocket", dependencies: ["Basics", "OpenSSL"], swiftSettings: strict),
        .testTarget(
            name: "WebSocketTests",
            dependencies: ["WebSocket", "TestSupport"],
            swiftSettings: strict),

        // TLS over sockets for both roles, connections to hosts, and proxies; knows no endpoint and no AWS. It imports WebSocket for
        // the parser of a proxy's answer to CONNECT, which shares its reader of HTTP heads with the upgrade.
        .target(
            name: "SecureSocket",
            dependencies: ["Basics", "Bounds", "Failures", "OpenSSL", "SocketIO", "WebSocket"],
            swiftSettings: strict),
        .testTarget(
            name: "SecureSocketTests",
            dependencies: ["Basics", "Failures", "OpenSSL", "SecureSocket", "SocketIO", "TestSupport"],
            swiftSettings: strict),

        // Credentials, signing, EC2's API over libcurl and expat.
        .target(
            name: "AWS",
            dependencies: [
                "Basics",
                "Bounds",
                "CCurl",
                "CExpat",
                "CLinux",
                "Descriptors",
                "Failures",
                "OpenSSL",
                "SecureSocket",
                logging,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "AWSTests",
            dependencies: ["AWS", "BadTLS", "Basics", "Failures", "OpenSSL", "SecureSocket", "TestSupport", logging],
            swiftSettings: strict),

        // The seam: what a way to reach targets offers to tunnels. It knows none of them.
        .target(name: "Transport", dependencies: ["Basics", "Failures", "SocketIO"], swiftSettings: strict),
        .testTarget(
            name: "TransportTests", dependencies: ["Transport", "Failures"], swiftSettings: strict),

        // The way through EC2 Instance Connect Endpoints.
        .target(
            name: "InstanceConnect",
            dependencies: [
                "AWS", "Basics", "Bounds", "Failures", "OpenSSL", "SecureSocket", "SocketIO", "Transport", "WebSocket",
                logging,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "InstanceConnectTests",
            dependencies: ["InstanceConnect", "AWS", "Basics", "Failures", "TestSupport", "Transport", logging],
            swiftSettings: strict),

        // Forwards, pools, tunnels: the data path. It knows no transport.
        .target(
            name: "Tunnels",
            dependencies: ["Basics", "Bounds", "CLinux", "Failures", "SocketIO", "Transport", logging],
            swiftSettings: strict),
        .testTarget(
            name: "TunnelsTests",
            dependencies: [
                "Tunnels", "AWS", "Basics", "Failures", "InstanceConnect", "OpenSSL", "SecureSocket", "SocketIO",
                "Transport", "WebSocket", "TestSupport", logging,
            ],
            swiftSettings: strict),

        // The control protocol: its types, its two ends.
        .target(
            name: "ControlProtocol", dependencies: ["Basics", "Descriptors", "Failures"], swiftSettings: strict),
        // Lines to values and back, by Foundation.
        .target(name: "ControlCodec", dependencies: ["ControlProtocol", "Failures"], swiftSettings: strict),
        .testTarget(
            name: "ControlProtocolTests",
            dependencies: ["ControlCodec", "ControlProtocol", "Failures", "TestSupport"],
            swiftSettings: strict),

        .target(
            name: "ControlServer",
            dependencies: [
                "CLinux",
                "ControlCodec",
                "ControlProtocol",
                "Failures",
                "SocketIO",
                logging,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ControlServerTests",
            dependencies: [
                "CLinux", "ControlClient", "ControlCodec", "ControlConnect", "ControlProtocol", "ControlServer",
                "Failures", "SocketIO", "TestSupport", logging,
            ],
            swiftSettings: strict),

        // The client's end of a session, and what `eicectl proxy` needs of it: no Foundation, no Concurrency.
        .target(
            name: "ControlConnect", dependencies: ["CLinux", "ControlProtocol", "Descriptors", "Failures"],
            swiftSettings: strict),
        .target(
            name: "ControlClient",
            dependencies: ["ControlCodec", "ControlConnect", "ControlProtocol", "Descriptors", "Failures"],
            swiftSettings: strict),
        .testTarget(
            name: "ControlClientTests",
            dependencies: [
                "CLinux", "ControlClient", "ControlCodec", "ControlConnect", "ControlProtocol", "Failures", "SocketIO",
                "TestSupport",
            ],
            swiftSettings: strict),

        // The only importer of CSystemd.
        .target(
            name: "ServiceManager",
            dependencies: [
                "CLinux",
                "CSystemd",
                "Failures",
                "SocketIO",
                logging,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ServiceManagerTests",
            dependencies: ["CLinux", "CTestProcess", "Failures", "ServiceManager", "SocketIO", "TestSupport", logging],
            swiftSettings: strict),

        // Configuration and wiring.
        .target(
            name: "Daemon",
            dependencies: [
                "AWS",
                "Basics",
                "Bounds",
                "CLinux",
                "CTOML",
                "ControlClient",
                "ControlCodec",
                "ControlProtocol",
                "ControlServer",
                "Failures",
                "InstanceConnect",
                "OpenSSL",
                "ServiceManager",
                "SocketIO",
                "Transport",
                "Tunnels",
                argumentParser,
                logging,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "DaemonTests",
            dependencies: [
                "Daemon", "AWS", "Basics", "ControlCodec", "ControlProtocol", "Failures", "InstanceConnect", "OpenSSL",
                "SecureSocket", "ServiceManager", "SocketIO", "Transport", "Tunnels", "TestSupport", logging,
            ],
            swiftSettings: strict),

        // The companion. `proxy` starts once for each ssh, so it has a program of its own, in which there is nothing else; that
        // program becomes the other one for everything else (docs/decisions/0019-eicectl-is-two-programs.md).
        .target(
            name: "EicectlProxy",
            dependencies: ["CLinux", "ControlConnect", "ControlProtocol", "Descriptors", "Failures"],
            swiftSettings: strict),
        // A file a command. Links neither OpenSSL nor libsystemd nor libcurl.
        .target(
            name: "EicectlCommands",
            dependencies: [
                "CLinux",
                "ControlClient",
                "ControlCodec",
                "ControlConnect",
                "ControlProtocol",
                "Descriptors",
                "EicectlProxy",
                "Failures",
                argumentParser,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "EicectlCommandsTests",
            dependencies: [
                "CLinux", "ControlCodec", "ControlConnect", "ControlProtocol", "ControlServer", "EicectlCommands",
                "EicectlProxy", "Failures", "SocketIO", "TestSupport", argumentParser, logging,
            ],
            swiftSettings: strict),

        // A local EICE, for demos, tests and users' CI.
        .target(
            name: "EICEEmulator",
            dependencies: [
                "CLinux",
                "Failures",
                "OpenSSL",
                "SecureSocket",
                "SocketIO",
                "WebSocket",
                argumentParser,
                logging,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "EICEEmulatorTests",
            dependencies: [
                "EICEEmulator", "Failures", "OpenSSL", "SecureSocket", "SocketIO", "WebSocket", "TestSupport",
            ],
            swiftSettings: strict),

        // What conformance suites talk to; not installed.
        .target(
            name: "WebSocketEcho", dependencies: ["CLinux", "OpenSSL", "SecureSocket", "SocketIO", "WebSocket"],
            swiftSettings: strict),
        .testTarget(
            name: "WebSocketEchoTests", dependencies: ["WebSocketEcho", "WebSocket", "TestSupport"],
            swiftSettings: strict),
        .executableTarget(name: "wsecho", dependencies: ["Descriptors", "WebSocketEcho"], swiftSettings: strict),

        // The programs: each main under 30 lines.
        .executableTarget(name: "eiced", dependencies: ["Daemon"], swiftSettings: strict, linkerSettings: hardenedLink),
        .executableTarget(
            name: "eicectl", dependencies: ["Descriptors", "EicectlProxy"], swiftSettings: strict,
            linkerSettings: hardenedLink),
        .executableTarget(
            name: "eicectl-commands", dependencies: ["Descriptors", "EicectlCommands"], swiftSettings: strict,
            linkerSettings: hardenedLink),
        .executableTarget(
            name: "eice-emulator", dependencies: ["EICEEmulator"], swiftSettings: strict, linkerSettings: hardenedLink),

        // What the tests share, and the tests that run the built programs.
        .target(name: "CTestProcess", path: "Tests/CTestProcess"),
        .target(
            name: "TestSupport",
            dependencies: ["CLinux", "CTestProcess", "ControlClient", "ControlProtocol", "SocketIO"],
            path: "Tests/TestSupport",
            swiftSettings: strict),
        // TLS servers that must be refused, made of OpenSSL itself.
        .target(
            name: "BadTLS", dependencies: ["COpenSSL", "OpenSSL", "TestSupport"], path: "Tests/BadTLS",
            swiftSettings: strict),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "BadTLS", "CLinux", "ControlProtocol", "Failures", "OpenSSL", "SecureSocket", "SocketIO", "WebSocket",
                "TestSupport",
            ],
            swiftSettings: strict),
    ],
    cxxLanguageStandard: .cxx17
)

// The benchmarks (`make bench`) and the soak (`make soak`), which run the programs as the end-to-end tests do.
if Context.environment["EICED_BENCHMARKS"] != nil {
    package.targets += [
        .target(
            name: "Benchmark",
            dependencies: [
                "AWS",
                "Basics",
                "CLinux",
                "ControlProtocol",
                "Failures",
                "InstanceConnect",
                "OpenSSL",
                "SecureSocket",
                "SocketIO",
                "TestSupport",
                "Transport",
                "Tunnels",
                "WebSocket",
                argumentParser,
            ],
            path: "Benchmarks/Benchmark", swiftSettings: strict),
        .testTarget(
            name: "BenchmarkTests", dependencies: ["Benchmark"], path: "Benchmarks/BenchmarkTests",
            swiftSettings: strict),
        .executableTarget(
            name: "eiced-bench", dependencies: ["Benchmark"], path: "Benchmarks/eiced-bench", swiftSettings: strict),
        .target(
            name: "Soak",
            dependencies: ["ControlProtocol", "Failures", "SocketIO", "TestSupport", argumentParser],
            path: "Benchmarks/Soak", swiftSettings: strict),
        .testTarget(
            name: "SoakTests", dependencies: ["Soak", "TestSupport"], path: "Benchmarks/SoakTests",
            swiftSettings: strict),
        .executableTarget(
            name: "eiced-soak", dependencies: ["Soak"], path: "Benchmarks/eiced-soak", swiftSettings: strict),
    ]
}

// A sanitizer doubles what a build costs, so one over the unit tests alone builds no other tests (scripts/sanitize.sh).
if Context.environment["EICED_UNIT_TESTS"] != nil {
    package.targets.removeAll { $0.name == "EndToEndTests" }
}

if isFuzzed {
    package.products.append(.executable(name: "fuzz-targets", targets: ["fuzz-targets"]))
    package.targets.append(
        .executableTarget(
            name: "fuzz-targets",
            dependencies: ["AWS", "ControlCodec", "ControlProtocol", "Daemon", "InstanceConnect", "WebSocket"],
            path: "Tests/Fuzz",
            exclude: ["Corpus"], swiftSettings: strict))
}
