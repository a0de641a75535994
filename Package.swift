// swift-tools-version: 6.2
import PackageDescription

/// One target per room of the house (Docs/design.md). The list below *is* the import DAG: a room may import only what its row names,
/// and `make lint` builds with `--explicit-target-dependency-import-check error` so that the compiler holds us to it.

let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "postern",
    products: [.executable(name: "postern", targets: ["postern"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        // C libraries and system calls.
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSASL", pkgConfig: "libsasl2", providers: [.apt(["libsasl2-dev"])]),
        .systemLibrary(name: "CICU", pkgConfig: "icu-uc", providers: [.apt(["libicu-dev"])]),
        .target(name: "CLinux", cSettings: [.define("_GNU_SOURCE")]),

        // Rooms.
        .target(name: "SMTPCore"),
        .target(name: "LoopTask", dependencies: ["CLinux", nio, nioPosix]),
        .target(name: "ByteScan", dependencies: [nio]),
        .target(name: "Settings", dependencies: ["SMTPCore"]),
        .target(name: "MailLog", dependencies: ["SMTPCore"]),
        .target(name: "Tables", dependencies: ["SMTPCore", "Settings"]),
        .target(name: "Routing", dependencies: ["SMTPCore", "Settings", "Tables", "CICU"]),
        .target(name: "Resolver", dependencies: ["SMTPCore", "CLinux", nio, nioPosix]),
        .target(name: "TLS", dependencies: ["COpenSSL", nio]),
        .target(name: "Authentication", dependencies: ["SMTPCore", "CSASL", nio, nioPosix, deque]),
        .target(name: "Restrictions", dependencies: ["SMTPCore", "Settings", "Tables", "Routing", "Resolver", "LoopTask", nio]),
        .target(name: "Cleanup", dependencies: ["SMTPCore", "Settings", nio]),
        .target(name: "Notices", dependencies: ["SMTPCore", "Settings", nio, deque]),
        .target(name: "HandOff", dependencies: ["SMTPCore", nio, nioPosix, deque]),
        .target(name: "Spool", dependencies: ["SMTPCore", "CLinux", nio, deque]),
        .target(
            name: "Relay",
            dependencies: [
                "SMTPCore", "Settings", "Tables", "Routing", "Resolver", "TLS", "Authentication", "MailLog", "Notices", "Spool", "LoopTask",
                "ByteScan", nio, nioPosix, deque,
            ]
        ),
        .target(
            name: "Submission",
            dependencies: [
                "SMTPCore", "Settings", "MailLog", "Tables", "Routing", "Resolver", "TLS", "Authentication", "Restrictions",
                "Cleanup", "HandOff", "Notices", "LoopTask", "ByteScan", nio, nioPosix, deque,
            ]
        ),
        .target(name: "Sink", dependencies: ["SMTPCore", "TLS", nio, nioPosix]),
        .target(
            name: "PosternDaemon",
            dependencies: [
                "SMTPCore", "Settings", "MailLog", "Tables", "Routing", "Resolver", "TLS", "Authentication", "Restrictions",
                "Cleanup", "HandOff", "LoopTask", "Spool", "Relay", "Submission", "CLinux", nio, nioPosix,
            ]
        ),
        .executableTarget(
            name: "postern",
            dependencies: [
                "PosternDaemon", "Settings", "Authentication", "SMTPCore", "Sink", "Tables", "TLS", "Resolver", "Restrictions", "Routing",
                "LoopTask",
                nio, nioPosix, argumentParser,
            ]
        ),

        // Measurements.
        .executableTarget(name: "spool-bench", dependencies: ["Spool", "SMTPCore", nio], path: "Benchmarks/SpoolBench"),

        // Tests.
        .target(
            name: "PosternTesting",
            dependencies: ["SMTPCore", "Settings", "Resolver", "Spool", nio, nioPosix, nioEmbedded],
            path: "Tests/PosternTesting"
        ),
        .target(
            name: "SpoolSimulation",
            dependencies: ["Spool", "SMTPCore", "PosternTesting", nio],
            path: "Tests/SpoolSimulation"
        ),
        // `make soak` builds it with optimisation, which the tests are not.
        .executableTarget(name: "spool-soak", dependencies: ["SpoolSimulation"], path: "Tests/SpoolSoak"),
        .testTarget(name: "SMTPCoreTests", dependencies: ["SMTPCore"]),
        .testTarget(name: "ByteScanTests", dependencies: ["ByteScan", nio]),
        .testTarget(name: "MailLogTests", dependencies: ["MailLog"]),
        .testTarget(name: "SinkTests", dependencies: ["Sink", "SMTPCore", nio, nioPosix]),
        .testTarget(name: "SettingsTests", dependencies: ["Settings"]),
        .testTarget(name: "TablesTests", dependencies: ["Tables", "Settings", "SMTPCore"]),
        .testTarget(name: "RoutingTests", dependencies: ["Routing", "Tables", "Settings", "SMTPCore"]),
        .testTarget(name: "ResolverTests", dependencies: ["Resolver", "SMTPCore", nio, nioPosix]),
        .testTarget(name: "TLSTests", dependencies: ["TLS", nio, nioPosix, nioEmbedded]),
        .testTarget(name: "AuthenticationTests", dependencies: ["Authentication", "SMTPCore", nio, nioPosix]),
        .testTarget(
            name: "RestrictionsTests",
            dependencies: ["Restrictions", "Routing", "Tables", "Settings", "Resolver", "SMTPCore", "PosternTesting"],
            exclude: ["Cases"]
        ),
        .testTarget(name: "CleanupTests", dependencies: ["Cleanup", "Settings", "SMTPCore", nio]),
        .testTarget(name: "NoticesTests", dependencies: ["Notices", "Settings", "SMTPCore", nio]),
        .testTarget(name: "HandOffTests", dependencies: ["HandOff", "SMTPCore", "LoopTask", nio, nioPosix]),
        .testTarget(name: "SpoolTests", dependencies: ["Spool", "SMTPCore", "PosternTesting", "SpoolSimulation", nio]),
        .testTarget(
            name: "RelayTests",
            dependencies: [
                "Relay", "Routing", "Tables", "Settings", "Resolver", "TLS", "Authentication", "MailLog", "Spool", "SMTPCore", "LoopTask",
                "Sink", "PosternTesting", nio, nioPosix,
            ]
        ),
        .testTarget(
            name: "SubmissionTests",
            dependencies: [
                "Submission", "Restrictions", "Cleanup", "HandOff", "Routing", "Tables", "Settings", "Resolver", "TLS",
                "Authentication", "MailLog", "SMTPCore", "LoopTask", "PosternTesting", nio, nioPosix, nioEmbedded,
            ]
        ),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "SMTPCore", "Settings", "MailLog", "Tables", "Routing", "Resolver", "Authentication", "Restrictions", "Cleanup", "HandOff",
                "LoopTask", "Spool", "TLS", "Relay", "Submission", "PosternDaemon", "PosternTesting", nio, nioEmbedded,
            ],
            path: "Tests/Fuzz/Targets"
        ),
        .testTarget(name: "FuzzTests", dependencies: ["FuzzTargets"]),
        .testTarget(
            name: "PosternDaemonTests",
            dependencies: ["PosternDaemon", "HandOff", "LoopTask", "Spool", "Settings", "SMTPCore", nio, nioPosix]
        ),
    ],
    swiftLanguageModes: [.v6]
)

// `make fuzz` only: libFuzzer's driver, and every room built with its coverage.
let fuzzes = Context.environment["POSTERN_FUZZ"] == "1"
if fuzzes {
    package.targets += [
        .target(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
        .executableTarget(
            name: "postern-fuzz",
            dependencies: ["FuzzTargets", "CFuzzer"],
            path: "Tests/Fuzz/Driver",
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])]
        ),
    ]
}

for target in package.targets where target.type != .system && target.name != "CLinux" && target.name != "CFuzzer" {
    target.swiftSettings =
        (target.swiftSettings ?? []) + [
            .strictMemorySafety(),
            .treatAllWarnings(as: .error),
            .enableUpcomingFeature("MemberImportVisibility"),
            .enableUpcomingFeature("InternalImportsByDefault"),
            .enableUpcomingFeature("ExistentialAny"),
            .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        ]
    if fuzzes { target.swiftSettings?.append(.unsafeFlags(["-sanitize=fuzzer", "-enable-testing"])) }
}
