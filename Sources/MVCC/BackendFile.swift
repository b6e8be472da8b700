public import Bolt
public import Platform

/// The backend's file, `member/snap/db`. May be used from any thread, by one commit at a time.
/// Format: docs/formats/backend.md.
public final class BackendFile: Sendable {
    public struct Options: Sendable {
        /// Bytes of address space reserved for the file, which cannot grow beyond it.
        public var mapCapacity = 64 << 30
        /// Whether commits are synced; without it a crash of the machine may lose the file.
        public var syncs = true
        /// Noted in a file that is made new; see `MartletKey.founded`.
        public var founder: String?
        /// Bytes of pages out of use that may wait for one reader; one that holds up more is refused from then on.
        public var maxHeldBytes = 4 << 30

        public init() {}
    }

    let database: Database
    private let options: Options

    private init(_ database: Database, _ options: Options) {
        self.database = database
        self.options = options
    }

    /// A version of the file at `path` to read from while `open` looks at every page of it on another thread. What
    /// comes of it may be used only if that succeeds. It must be let go of before the second commit.
    /// - Throws: also when buckets are missing.
    /// - Complexity: O(1).
    public static func readAhead(
        _ path: String, on disk: any Disk, options: Options = Options()
    ) throws(BackendError) -> StoredVersion {
        var databaseOptions = Database.Options()
        databaseOptions.mapCapacity = options.mapCapacity
        databaseOptions.isSecondLook = true
        let database: Database
        do throws(BoltError) { database = try Database.open(path, on: disk, options: databaseOptions) } catch {
            throw BackendError(error)
        }
        return try StoredVersion(database, named: "read ahead")
    }

    /// Opens the file at `path` and creates what is missing of it: the file itself, and the buckets.
    /// - Throws: `.locked` when another process has it open.
    /// - Complexity: O(pages).
    public static func open(
        _ path: String, on disk: any Disk, options: Options = Options()
    ) throws(BackendError) -> BackendFile {
        let file = try openUntouched(path, on: disk, options: options)
        try file.createBuckets()
        return file
    }

    /// Opens the file at `path` without writing to it, if it is there. `createBuckets` must come before anything but
    /// `schema`.
    public static func openUntouched(
        _ path: String, on disk: any Disk, options: Options = Options()
    ) throws(BackendError) -> BackendFile {
        do throws(BoltError) {
            var databaseOptions = Database.Options()
            databaseOptions.mapCapacity = options.mapCapacity
            databaseOptions.noSync = !options.syncs
            databaseOptions.maxHeldBytes = options.maxHeldBytes
            return BackendFile(try Database.open(path, on: disk, options: databaseOptions), options)
        } catch {
            throw BackendError(error)
        }
    }

    /// Creates the buckets that are missing, and says in a file without any who founded it.
    public func createBuckets() throws(BackendError) {
        do throws(BoltError) {
            let transaction = try database.beginWrite()
            var missing = 0
            for bucket in BackendBucket.shared where try transaction.bucket(bucket.nameBytes) == nil {
                try transaction.createBucket(bucket.nameBytes)
                missing += 1
            }
            if missing == BackendBucket.shared.count, let founder = options.founder {
                try transaction.createBucket(BackendBucket.martlet.nameBytes)
                try transaction.put(MartletKey.founded, Array(founder.utf8), in: BackendBucket.martlet.nameBytes)
            }
            if missing == 0 { transaction.rollback() } else { try transaction.commit() }
        } catch {
            throw BackendError(error)
        }
    }

    /// Runs `body` on the last committed version.
    func readOnly<R>(_ body: (ReadTransaction) throws(BoltError) -> R) throws(BackendError) -> R {
        do throws(BoltError) {
            let transaction = try database.beginRead()
            let result = try body(transaction)
            transaction.close()
            return result
        } catch {
            throw BackendError(error)
        }
    }

    /// What `open` found damaged and could do without, for the log; nil when there is nothing to tell.
    public var notice: String? { database.notice?.description }

    /// The last committed version.
    /// - Parameter name: what the reader is called in `readers`.
    public func read(named name: String = "backend") throws(BackendError) -> StoredVersion {
        try StoredVersion(database, named: name)
    }

    /// Who reads which version, oldest first, and what that holds up; for a log that names readers that stay long.
    public var readers: [ReaderReport] { database.readers }

    /// A reader that keeps pages from being reused.
    public struct LongReader: Sendable {
        public var name: String
        /// Versions committed since its own.
        public var versionsBehind: UInt64
        public var heldBytes: Int64
    }

    /// The readers that hold up at least so many bytes.
    public func longReaders(holding bytes: Int64) -> [LongReader] {
        database.readers.filter { $0.heldBytes >= bytes }.map {
            LongReader(name: $0.name, versionsBehind: $0.versionsBehind, heldBytes: $0.heldBytes)
        }
    }

    /// Checks the whole file as `Database.check` does; empty when it is sound.
    /// - Complexity: O(bytes in use).
    public func check() throws(BackendError) -> [Problem] {
        do throws(BoltError) { return try database.check() } catch { throw BackendError(error) }
    }

    /// Writes all changes as one transaction.
    func commit(_ changes: BackendChanges) throws(BackendError) -> CommitResult {
        do throws(BoltError) {
            let transaction = try database.beginWrite()
            do throws(BoltError) {
                if !changes.removedRows.isEmpty {
                    try transaction.deleteSorted(changes.removedRun, in: BackendBucket.key.nameBytes)
                }
                if !changes.rows.isEmpty {
                    try transaction.putSorted(changes.rows.run, in: BackendBucket.key.nameBytes)
                }
                for bucket in BackendBucket.allCases where bucket != .key {
                    let table = changes.tables[bucket.rawValue]
                    if bucket == .martlet, !table.isEmpty {
                        _ = try transaction.createBucketIfMissing(bucket.nameBytes)
                    }
                    for (key, change) in table.sorted {
                        switch change {
                        case .put(let value): try transaction.put(key, value, in: bucket.nameBytes)
                        case .delete: try transaction.delete(key, in: bucket.nameBytes)
                        }
                    }
                }
            } catch {
                transaction.rollback()
                throw error
            }
            try transaction.commit()
        } catch {
            throw BackendError(error)
        }
        return CommitResult(version: try read())
    }

    /// Releases the file. Versions that are still held can be read on.
    public func close() throws(BackendError) {
        do throws(BoltError) { try database.close() } catch { throw BackendError(error) }
    }
}

extension RowBuffer {
    /// The rows as the file takes them, without a copy of their bytes.
    fileprivate var run: SortedRun {
        var items: [SortedRun.Item] = []
        items.reserveCapacity(rows.count)
        for position in rows.indices where !rows[position].isRemoved {
            let key = keyRange(at: position)
            let value = valueRange(at: position)
            items.append(
                SortedRun.Item(
                    keyStart: key.lowerBound, keyCount: key.count, valueStart: value.lowerBound,
                    valueCount: value.count))
        }
        return SortedRun(bytes: bytes, items: items)
    }
}

extension BackendChanges {
    fileprivate var removedRun: SortedRun {
        var run = SortedRun()
        run.reserveCapacity(items: removedRows.count, bytes: removedRows.count * (RowKey.size + 1))
        for row in removedRows { run.append(key: row.encoded) }
        return run
    }
}

extension CommitBatch {
    /// Writes the batch as one transaction. Blocks; for the backend's thread.
    public func write(to file: BackendFile) throws(BackendError) -> CommitResult {
        try file.commit(changes)
    }
}
