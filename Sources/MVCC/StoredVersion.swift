internal import Bolt
internal import EtcdProto

/// An immutable version of the backend's file, for reading. Keeps the file's pages of that version from being reused.
public struct StoredVersion: Sendable {
    private let transaction: ReadTransaction
    /// By raw value of `BackendBucket`; nil only for `martlet`.
    private let buckets: [Bucket?]
    public let statistics: BackendStatistics

    init(_ database: Database, named name: String) throws(BackendError) {
        do throws(BoltError) {
            let transaction = try database.beginRead(named: name)
            var buckets: [Bucket?] = []
            for bucket in BackendBucket.allCases {
                let found = try transaction.bucket(bucket.nameBytes)
                guard found != nil || bucket == .martlet else {
                    throw .corrupted(file: database.path, page: 0, reason: "no bucket \(bucket.name)")
                }
                buckets.append(found)
            }
            self.transaction = transaction
            self.buckets = buckets
            let figures = database.statistics
            statistics = BackendStatistics(
                size: Int(figures.size), sizeInUse: Int(figures.bytesInUse), hasReclaimWork: figures.hasReclaimWork)
        } catch {
            throw BackendError(error)
        }
    }

    func get(_ key: [UInt8], in bucket: BackendBucket) throws(BackendError) -> [UInt8]? {
        do throws(BoltError) { return try buckets[bucket.rawValue]?.get(key) } catch { throw BackendError(error) }
    }

    /// The value of `key` as eight bytes, big endian.
    func unsigned(_ key: [UInt8], in bucket: BackendBucket) throws(BackendError) -> UInt64? {
        guard let value = try get(key, in: bucket) else { return nil }
        guard value.count == 8 else {
            throw .malformedRow(bucket: bucket.name, key: key, reason: "\(value.count) bytes where 8 are expected")
        }
        return value.span.bytes.bigEndian64(at: 0)
    }

    /// Appends the value of `key` to `out`, as a length-delimited field if `field` is given.
    /// - Returns: whether there is such a key.
    func appendValue(
        of key: Span<UInt8>, in bucket: BackendBucket, field: Int?, to out: inout [UInt8]
    ) throws(BackendError) -> Bool {
        do throws(BoltError) {
            let found: Void? = try buckets[bucket.rawValue]?.withValue(for: key) { (value) throws(BoltError) in
                if let field { Wire.appendBytesHeader(field, count: value.count, to: &out) }
                out.append(copying: value.bytes)
            }
            return found != nil
        } catch {
            throw BackendError(error)
        }
    }

    /// The items of a bucket from `start` on, in key order, until `body` returns false.
    func forEach(
        in bucket: BackendBucket, from start: [UInt8], _ body: (Span<UInt8>, Span<UInt8>) throws(StoreError) -> Bool
    ) throws(StoreError) {
        guard let bucket = buckets[bucket.rawValue] else { return }
        var failure: StoreError?
        do throws(BoltError) {
            var cursor = bucket.cursor()
            var goOn = try start.isEmpty ? cursor.first() : cursor.seek(start)
            while goOn {
                goOn = try cursor.withItem { (key, value) throws(BoltError) -> Bool in
                    do throws(StoreError) { return try body(key, value) } catch {
                        failure = error
                        return false
                    }
                }
                if goOn { goOn = try cursor.next() }
            }
        } catch {
            throw .backend(BackendError(error))
        }
        if let failure { throw failure }
    }
}

extension BackendError {
    init(_ error: BoltError) {
        if case .locked(let path) = error { self = .locked(path) } else { self = .file("backend: \(error)") }
    }
}
