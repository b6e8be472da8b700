import Foundation

/// A golden data directory, unpacked for one test and removed with it.
public final class FixtureArchive: Sendable {
    public struct Unreadable: Error, CustomStringConvertible {
        public var description: String
    }

    /// The unpacked directory.
    public let path: String
    private let temporary: String

    /// - Parameters:
    ///   - archive: below `../shared/fixtures`, such as `etcd-3.5.1/single.tar.gz`.
    ///   - members: only these paths inside, such as `single/member/wal`; all if empty.
    /// - Returns: nil where there are no fixtures; a line says what is skipped then.
    public init?(_ archive: String, members: [String] = []) throws {
        guard let fixtures = PackageFiles.fixtures(for: archive) else { return nil }
        temporary = try PackageFiles.temporaryDirectory("fixture")
        let name = archive.split(separator: "/").last.map(String.init) ?? archive
        path = temporary + "/" + name.dropLast(".tar.gz".count)
        let arguments = ["tar", "xzf", "\(fixtures)/\(archive)", "-C", temporary] + members
        let (end, _) = try Spawn.output(of: "/usr/bin/env", arguments)
        guard end?.isSuccess == true else {
            throw Unreadable(description: "tar xzf \(archive) failed")
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: temporary) }
}
