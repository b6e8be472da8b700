public import Base

extension Snapshotter {
    /// Removes the oldest snapshot files, and likewise the oldest databases received from leaders, until `count` of
    /// each are left. 0 keeps all.
    /// - Returns: the paths of those removed.
    public func purge(keeping count: Int) throws(SnapshotError) -> [String] {
        guard count > 0 else { return [] }
        let names = try names()
        let snapshots = names.filter { $0.hasSuffix(".snap") }.dropLast(count)
        let databases = names.filter { $0.hasSuffix(".snap.db") }.dropLast(count)
        return try remove(snapshots + databases)
    }

    /// Removes the databases received from leaders that a snapshot at `index` has made useless.
    /// - Returns: the paths of those removed.
    public func releaseSnapDBs(below index: LogIndex) throws(SnapshotError) -> [String] {
        let useless = try names().filter { name in
            guard name.hasSuffix(".snap.db"), name.utf8.count == 24 else { return false }
            return UInt64(name.prefix(16), radix: 16).map { $0 < index.rawValue } ?? false
        }
        return try remove(useless)
    }

    /// Removes what an interrupted reception (`tmp…`) or defragmentation (`db.tmp…`) left. To be called at start.
    /// - Returns: the paths of those removed.
    public func removeTemporaryFiles() throws(SnapshotError) -> [String] {
        try remove(try names().filter { $0.hasPrefix("tmp") || $0.hasPrefix("db.tmp") })
    }
}
