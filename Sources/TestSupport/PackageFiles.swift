import Foundation

/// Where the package and the data beside it lie, found from this file's own place.
public enum PackageFiles {
    /// The directory of `Package.swift`.
    public static let root: String = {
        var url = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { url.deleteLastPathComponent() }
        return url.path
    }()

    /// The golden data written by released etcd servers, `../shared/fixtures`, or nil where it is missing.
    /// Prints a line that says what is skipped then.
    /// - Parameter purpose: what the caller wanted it for.
    public static func fixtures(for purpose: String) -> String? {
        let path = URL(fileURLWithPath: root).appendingPathComponent("../shared/fixtures").standardized.path
        if FileManager.default.fileExists(atPath: path) { return path }
        print("skipped: \(purpose) (no ../shared/fixtures)")
        return nil
    }

    /// A new empty directory for one test, below the system's directory for temporary files.
    public static func temporaryDirectory(_ name: String) throws -> String {
        let url = FileManager.default.temporaryDirectory
            .appendingPathComponent("martlet-\(name)-\(UUID().uuidString.prefix(8).lowercased())")
        try FileManager.default.createDirectory(
            at: url, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        return url.path
    }
}
