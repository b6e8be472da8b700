internal import Bolt
public import Platform

/// Changes a backend file behind its member's back, as a bug or a bad disk would: well formed, and wrong.
public enum AlteredStore {
    private static let rows = Array("key".utf8)

    /// Gives the newest row of the file that has a value another one of the same length.
    public static func changeNewestValue(in path: String, on disk: any Disk) throws {
        let database = try open(path, on: disk)
        let transaction = try database.beginWrite()
        guard let bucket = try transaction.bucket(rows) else { throw NothingToAlter() }
        var cursor = bucket.cursor()
        var isFound = try cursor.last()
        // A tombstone has a longer key, and no value.
        while isFound, cursor.key.count != 17 { isFound = try cursor.previous() }
        guard isFound else { throw NothingToAlter() }
        // The value is the last field of a row without a lease.
        let key = cursor.key
        var row = cursor.value
        row[row.count - 1] ^= 1
        try transaction.put(key, row, in: rows)
        _ = try transaction.commit()
        try database.close()
    }

    /// Gives a row of a bucket another value: the first one for which there is one.
    public static func changeRow(
        of bucket: String, in path: String, on disk: any Disk, to value: (_ old: [UInt8]) -> [UInt8]?
    ) throws {
        let database = try open(path, on: disk)
        let transaction = try database.beginWrite()
        guard let rows = try transaction.bucket(Array(bucket.utf8)) else { throw NothingToAlter() }
        var cursor = rows.cursor()
        var isFound = try cursor.first()
        while isFound {
            if let new = value(cursor.value) {
                try transaction.put(cursor.key, new, in: Array(bucket.utf8))
                _ = try transaction.commit()
                return try database.close()
            }
            isFound = try cursor.next()
        }
        throw NothingToAlter()
    }

    private static func open(_ path: String, on disk: any Disk) throws -> Database {
        var options = Database.Options()
        options.mapCapacity = 64 << 20
        return try Database.open(path, on: disk, options: options)
    }

    public struct NothingToAlter: Error {}
}
