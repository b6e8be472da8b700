internal import Base
package import Platform

/// Where databases that leaders send are kept until the member takes them over: next to the raft snapshots, named by
/// their index. Calls block.
package struct SnapshotStorage: Sendable {
    let disk: any Disk
    let directory: String

    package init(disk: any Disk, directory: String) {
        self.disk = disk
        self.directory = directory
    }

    /// Opens a new file for a database that is coming in. Files with such names are removed when a member starts.
    func create(_ number: Int) throws(DiskError) -> any DiskFile {
        try disk.open("\(directory)/tmp\(number)", .truncate)
    }

    /// Makes the database durable under the name that the member looks for.
    func finish(_ file: any DiskFile, index: UInt64) throws(DiskError) {
        try file.sync()
        try file.close()
        let digits = String(index, radix: 16)
        let name = String(repeating: "0", count: 16 - digits.count) + digits
        try disk.rename(file.path, to: "\(directory)/\(name).snap.db")
        try disk.syncDirectory(directory)
    }

    /// Makes the database durable under the name that it has.
    package func keep(_ file: any DiskFile) throws(DiskError) {
        try file.sync()
        try file.close()
    }

    func discard(_ file: any DiskFile) {
        // What stays behind is removed at the next start.
        try? file.close()
        try? disk.remove(file.path)
    }
}
