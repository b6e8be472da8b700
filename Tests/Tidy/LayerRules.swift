/// Who may import what. `Package.swift` says the same to the build for our own modules; this also holds for the
/// libraries, and for what would only be noticed when a module is pulled out to stand alone.
enum LayerRules {
    /// Modules that say the same on every run: no clock, file, task, thread or lock, and no library.
    static let pure: Set<String> = ["RaftCore", "RaftProto", "MVCC", "Leasing", "Auth", "Apply"]

    private static let standard: Set<String> = ["Swift"]
    private static let sockets: Set<String> = ["NIOCore", "NIOPosix", "NIOHTTP1", "NIOConcurrencyHelpers"]

    static let allowed: [String: Set<String>] = [
        "Base": ["Synchronization"],
        "Platform": ["Base", "Synchronization"],
        "PlatformLinux": ["Base", "Platform", "CCrypt", "CResolv", "Glibc", "Synchronization"],
        // The memory behind a simulated mapping is reserved as a real one is.
        "PlatformSim": ["Base", "Platform", "PlatformLinux", "Synchronization"],
        "EtcdProto": ["Base", "SwiftProtobuf"],
        "RaftCore": ["Base"],
        "RaftProto": ["Base", "RaftCore", "EtcdProto"],
        "WAL": ["Base", "Platform", "RaftCore", "RaftProto", "EtcdProto", "Synchronization"],
        "SnapshotStore": ["Base", "Platform", "RaftCore", "RaftProto", "EtcdProto"],
        "Bolt": ["Base", "Platform", "CPrefetch", "Synchronization"],
        "MVCC": ["Base", "Platform", "Bolt", "EtcdProto"],
        "Leasing": ["Base", "Platform", "MVCC"],
        "Membership": ["Base", "Platform", "MVCC", "EtcdProto", "Crypto"],
        "Auth": ["Base", "MVCC", "EtcdProto"],
        "Apply": ["Base", "RaftCore", "RaftProto", "MVCC", "Leasing", "Auth", "Membership", "EtcdProto"],
        "Member": [
            "Base", "Platform", "RaftCore", "RaftProto", "WAL", "SnapshotStore", "Bolt", "MVCC", "Leasing",
            "Auth", "Membership", "Apply", "EtcdProto", "SwiftProtobuf", "Logging", "Synchronization",
        ],
        "TLS": sockets.union([
            "Base", "Platform", "NIOTLS", "NIOSSL", "SwiftASN1", "Crypto", "Logging", "Synchronization",
        ]),
        "PeerTransport": sockets.union([
            "Base", "Platform", "RaftCore", "RaftProto", "MVCC", "Membership", "Member", "TLS", "EtcdProto", "Logging",
            "Synchronization",
        ]),
        "HTTP2": sockets.union(["Base", "CNGHTTP2", "CZlib", "Glibc", "Logging", "Synchronization"]),
        "ClientAPI": sockets.union([
            "Base", "Platform", "Member", "MVCC", "TLS", "HTTP2", "EtcdProto", "Crypto", "Logging", "Foundation",
            "Synchronization",
        ]),
        "martlet": sockets.union([
            "Base", "Platform", "PlatformLinux", "EtcdProto", "Member", "Membership", "TLS", "PeerTransport", "HTTP2",
            "ClientAPI", "SwiftProtobuf", "Logging", "Yams", "Foundation", "Synchronization",
        ]),
        "martlet-bench": sockets.union([
            "HTTP2", "EtcdProto", "TLS", "PlatformLinux", "Logging", "ArgumentParser",
        ]),
        "martletutl": ["PlatformLinux", "Member", "ArgumentParser", "Foundation"],
        "martlet-transcripts": ["TestSupport", "Foundation"],
    ]

    /// Names that reach what a pure module must not: time, chance, concurrency, output.
    private static let impure = [
        "ContinuousClock", "SuspendingClock", "SystemRandomNumberGenerator", "Task {", "Task.detached", "Task.sleep",
        "async ", "await ", "Mutex(", "Atomic(", "print(",
    ]

    static func findings(_ file: SourceText) -> [Finding] {
        guard file.path.hasPrefix("Sources/"), file.target != "TestSupport", file.target != "CNGHTTP2",
            file.target != "CZlib", file.target != "CCrypt", file.target != "CResolv", file.target != "CPrefetch"
        else {
            return []
        }
        guard let allowed = allowed[file.target] else {
            return [Finding(path: file.path, line: 0, message: "module \(file.target) is not in the table of layers")]
        }
        var found: [Finding] = []
        for (number, line) in file.lines.enumerated() {
            if let module = importedModule(line.code), !allowed.contains(module), !standard.contains(module) {
                found.append(
                    Finding(
                        path: file.path, line: number + 1, message: "\(file.target) may not import \(module)"))
            }
            guard pure.contains(file.target) else { continue }
            for name in impure where line.code.contains(name) {
                found.append(
                    Finding(path: file.path, line: number + 1, message: "`\(name)` in \(file.target), which is pure"))
            }
        }
        return found
    }

    /// `WAL` for `public import WAL`, `import struct WAL.Record`; nil for other lines.
    static func importedModule(_ code: String) -> String? {
        var words = code.split(whereSeparator: { $0 == " " || $0 == "." })
        while let first = words.first, ["public", "package", "internal", "fileprivate", "private"].contains(first) {
            words.removeFirst()
        }
        guard words.first == "import", words.count > 1 else { return nil }
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
        if kinds.contains(words[1]), words.count > 2 { return String(words[2]) }
        return String(words[1])
    }
}
