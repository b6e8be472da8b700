internal import Base
internal import Platform

/// Where databases that leaders send are kept until the member takes them over: next to the raft snapshots, named by
/// their index. Calls block.
struct SnapshotStorage: Sendable {
    let disk: any Disk
    let directory: String

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

    func discard(_ file: any DiskFile) {
        // What stays behind is removed at the next start.
        try? file.close()
        try? disk.remove(file.path)
    }
}
