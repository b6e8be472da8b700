internal import Base
internal import Bolt

/// What a backend file says about the programs that wrote it. Read before anything is written to the file, so that a
/// newer one can be left alone.
public struct BackendSchema: Sendable, Equatable {
    /// Bucket `cluster`: the version that all members of the cluster spoke; nil before it was agreed on.
    public var clusterVersion: String?
    /// Bucket `meta`: written since 3.6.
    public var storageVersion: String?
    /// Whether `meta` holds the term of the last applied entry, as since 3.5.
    public var hasTerm: Bool
    /// Who founded the file, if that was Martlet.
    public var founder: String?
    /// The last entry whose effects are in the file; 0 for none.
    public var consistentIndex: UInt64
}

extension BackendFile {
    /// Reads the schema of the file; what is missing is nil. Does not write.
    public func schema() throws(BackendError) -> BackendSchema {
        try readOnly { transaction throws(BoltError) in
            func value(_ key: [UInt8], _ bucket: BackendBucket) throws(BoltError) -> [UInt8]? {
                try transaction.bucket(bucket.nameBytes)?.get(key)
            }
            func text(_ key: [UInt8], _ bucket: BackendBucket) throws(BoltError) -> String? {
                try value(key, bucket).map { String(decoding: $0, as: UTF8.self) }
            }
            let index = try value(MetaKey.consistentIndex, .meta) ?? []
            return BackendSchema(
                clusterVersion: try text(Array("clusterVersion".utf8), .cluster),
                storageVersion: try text(MetaKey.storageVersion, .meta),
                hasTerm: try value(MetaKey.term, .meta) != nil,
                founder: try text(MartletKey.founded, .martlet),
                consistentIndex: index.reduce(0) { $0 << 8 | UInt64($1) })
        }
    }
}
