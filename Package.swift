// swift-tools-version: 6.2
import PackageDescription

/// Every target of ours compiles under these; `STYLE.md` says why.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

/// Generated code follows its generator's style, so warnings do not stop it.
let generated: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

func layer(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = strict) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"], swiftSettings: strict)
}

// Lowest layer first; a target may depend only on what stands above it here.
var targets: [Target] = [
    layer("Base"),
    layer("Platform", ["Base"]),
    .systemLibrary(name: "CCrypt", pkgConfig: "libcrypt", providers: [.apt(["libcrypt-dev"])]),
    .systemLibrary(name: "CResolv"),
    layer("PlatformLinux", ["Base", "Platform", "CCrypt", "CResolv"]),
    layer("PlatformSim", ["Base", "Platform", "PlatformLinux"]),
    layer("EtcdProto", ["Base", protobuf], settings: generated),
    layer("RaftCore", ["Base"]),
    layer("RaftProto", ["Base", "RaftCore", "EtcdProto"]),
    layer("WAL", ["Base", "Platform", "RaftCore", "RaftProto", "EtcdProto"]),
    layer("SnapshotStore", ["Base", "Platform", "RaftCore", "RaftProto", "EtcdProto"]),
    .systemLibrary(name: "CPrefetch"),
    layer("Bolt", ["Base", "Platform", "CPrefetch"]),
    layer("MVCC", ["Base", "Platform", "Bolt", "EtcdProto"]),
    layer("Leasing", ["Base", "Platform", "MVCC"]),
    layer("Membership", ["Base", "MVCC", "EtcdProto", crypto]),
    layer("Auth", ["Base", "MVCC", "EtcdProto"]),
    layer("Apply", ["Base", "RaftCore", "RaftProto", "MVCC", "Leasing", "Auth", "Membership", "EtcdProto"]),
    layer(
        "Member",
        [
            "Base", "Platform", "RaftCore", "RaftProto", "WAL", "SnapshotStore", "Bolt", "MVCC", "Leasing", "Auth",
            "Membership", "Apply", "EtcdProto", logging, protobuf,
        ]),
    layer("TLS", ["Base", "Platform", crypto, asn1, nioCore, nioPosix, nioTLS, nioSSL, logging]),
    layer(
        "PeerTransport",
        [
            "Base", "Platform", "RaftCore", "RaftProto", "MVCC", "Membership", "Member", "TLS", "EtcdProto", nioCore,
            nioPosix, nioHTTP1, logging,
        ]),
    .systemLibrary(
        name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"]), .brew(["nghttp2"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
    layer("HTTP2", ["Base", "CNGHTTP2", "CZlib", nioCore, nioPosix, nioHTTP1, logging]),
    layer(
        "ClientAPI",
        [
            "Base", "Platform", "Member", "MVCC", "TLS", "HTTP2", "EtcdProto", crypto, nioCore, nioPosix, nioHTTP1,
            logging,
        ]),
    .executableTarget(
        name: "martlet",
        dependencies: [
            "Base", "Platform", "PlatformLinux", "EtcdProto", "Membership", "Member", "TLS", "PeerTransport", "HTTP2",
            "ClientAPI", protobuf, nioCore, nioPosix, logging, yams,
        ],
        swiftSettings: strict),
    .executableTarget(
        name: "HTTP2Echo", dependencies: ["HTTP2", nioCore, nioPosix], path: "Benchmarks/HTTP2Echo",
        swiftSettings: strict),
    .executableTarget(
        name: "martlet-bench",
        dependencies: ["EtcdProto", "TLS", "HTTP2", "PlatformLinux", nioCore, nioPosix, logging, arguments],
        swiftSettings: strict),
    .executableTarget(
        name: "martletutl", dependencies: ["PlatformLinux", "Member", arguments], swiftSettings: strict),
    layer("TestSupport", ["Base", "Platform", "PlatformLinux", "PlatformSim", "RaftCore", "Bolt"]),
    .executableTarget(
        name: "RaftBenchmark", dependencies: ["Base", "RaftCore"], path: "Benchmarks/RaftBenchmark",
        exclude: ["count.c", "allocations"], swiftSettings: strict),
    .executableTarget(
        name: "StoreBenchmark", dependencies: ["Base", "Platform", "PlatformLinux", "Bolt", "MVCC", "EtcdProto"],
        path: "Benchmarks/StoreBenchmark", exclude: ["compare"], swiftSettings: strict),
    .executableTarget(
        name: "HandshakeBenchmark", dependencies: ["PlatformLinux", "TLS", nioCore, nioPosix, logging],
        path: "Benchmarks/HandshakeBenchmark", exclude: ["run"], swiftSettings: strict),
    .executableTarget(name: "martlet-transcripts", dependencies: ["TestSupport"], swiftSettings: strict),
    .executableTarget(
        name: "replicated-counter", dependencies: ["RaftCore"], path: "Examples/ReplicatedCounter",
        swiftSettings: strict),

    tests("BaseTests", ["Base"]),
    tests("TestSupportTests", ["Base"]),
    tests("PlatformTests", ["Base", "Platform", "PlatformLinux", "PlatformSim"]),
    tests("EtcdProtoTests", ["Base", "EtcdProto", protobuf]),
    tests("RaftCoreTests", ["Base", "RaftCore", "replicated-counter"]),
    tests(
        "WALTests", ["Base", "Platform", "PlatformLinux", "PlatformSim", "RaftCore", "RaftProto", "WAL", "EtcdProto"]),
    tests(
        "SnapshotStoreTests",
        ["Base", "Platform", "PlatformLinux", "PlatformSim", "RaftCore", "RaftProto", "SnapshotStore", "EtcdProto"]),
    tests("BoltTests", ["Base", "Platform", "PlatformLinux", "PlatformSim", "Bolt"]),
    tests("MVCCTests", ["Base", "Platform", "PlatformLinux", "PlatformSim", "Bolt", "MVCC", "EtcdProto", protobuf]),
    tests("LeasingTests", ["Base", "Platform", "MVCC", "Leasing"]),
    tests("MembershipTests", ["Base", "Membership", "MVCC", "EtcdProto"]),
    tests(
        "AuthTests",
        ["Base", "Platform", "PlatformLinux", "PlatformSim", "Bolt", "MVCC", "Auth", "EtcdProto", protobuf]),
    tests(
        "ApplyTests",
        [
            "Base", "Platform", "PlatformLinux", "PlatformSim", "RaftCore", "Bolt", "MVCC", "Auth", "Membership",
            "Apply", "EtcdProto", protobuf,
        ]),
    tests(
        "MemberTests",
        [
            "Base", "Platform", "PlatformLinux", "PlatformSim", "RaftCore", "WAL", "SnapshotStore", "Bolt", "MVCC",
            "Leasing", "Auth", "Membership", "Apply", "Member", "EtcdProto", logging, protobuf,
        ]),
    tests(
        "PeerTransportTests",
        [
            "Base", "Platform", "PlatformLinux", "PlatformSim", "RaftCore", "RaftProto", "MVCC", "Member",
            "PeerTransport", "TLS", "EtcdProto", nioCore, nioPosix, nioEmbedded, nioHTTP1, logging,
        ]),
    tests("TLSTests", ["Base", "Platform", "PlatformLinux", "TLS", nioCore, nioPosix, logging]),
    tests("HTTP2Tests", ["Base", "HTTP2", "CNGHTTP2", nioCore, nioPosix, nioEmbedded, nioHTTP1, logging]),
    tests(
        "ClientAPITests",
        [
            "Base", "Platform", "PlatformLinux", "MVCC", "Member", "HTTP2", "ClientAPI", "EtcdProto", crypto, protobuf,
            nioCore,
            nioPosix, nioEmbedded, nioHTTP1,
            logging,
        ]),
    tests("MartletTests", ["Base", "Member", "PlatformLinux", "TLS", "martlet", logging]),
    tests(
        "Conformance",
        [
            "Base", "Platform", "PlatformLinux", "TLS", "HTTP2", "EtcdProto", protobuf, nioCore, nioPosix, nioHTTP1,
            logging,
        ]),
    tests("Tidy", []),
]

let package = Package(
    name: "martlet",
    products: [
        .executable(name: "martlet", targets: ["martlet"]),
        .library(name: "RaftCore", targets: ["RaftCore"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: targets
)

// `MARTLET_TARGETS=Bolt,BoltTests swift test` builds only that slice and what it needs; CI builds everything.
if let wanted = Context.environment["MARTLET_TARGETS"]?.split(separator: ",").map(String.init) {
    var keep = Set(wanted)
    for target in targets.reversed() where keep.contains(target.name) {
        for case .byNameItem(let name, _) in target.dependencies { keep.insert(name) }
    }
    package.targets = targets.filter { keep.contains($0.name) }
    package.products = package.products.filter { keep.isSuperset(of: [$0.name]) }
}
