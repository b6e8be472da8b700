import Base
import EtcdProto
import Foundation
import MVCC
import Platform
import PlatformSim
import SwiftProtobuf

/// A store over a file on a disk of its own, spoken to with real messages.
final class TestStore {
    static let path = "db"

    let disk: any Disk
    let path: String
    private(set) var file: BackendFile
    private(set) var store: KeyValueStore
    /// Applied entries, one for each change.
    var index: UInt64 = 0

    init(on disk: any Disk = SimDisk(), path: String = TestStore.path) throws {
        self.disk = disk
        self.path = path
        file = try BackendFile.open(path, on: disk)
        store = try KeyValueStore(Backend(try file.read()))
        index = store.backend.consistentIndex.rawValue
    }

    /// Commits what is pending.
    func commit() throws {
        if let batch = store.backend.freeze() { store.backend.committed(try batch.write(to: file)) }
    }

    /// Closes the file and opens it again; what was not committed is lost.
    func reopen() throws {
        try file.close()
        file = try BackendFile.open(path, on: disk)
        store = try KeyValueStore(Backend(try file.read()))
        index = store.backend.consistentIndex.rawValue
    }

    /// Runs the removal of compacted history to its end.
    func finishCompaction() throws {
        while store.isCompacting { _ = try store.compactStep(limit: 7) }
    }

    private func advance() {
        index += 1
        store.backend.setConsistentIndex(LogIndex(index), term: Term(1))
    }

    static let header = ResponseHeader(clusterID: ClusterID(11), memberID: MemberID(22), term: Term(33))

    func range(_ request: Etcdserverpb_RangeRequest) throws -> Etcdserverpb_RangeResponse {
        var out: [UInt8] = []
        try store.range(try request.serializedBytes(), header: Self.header, into: &out)
        return try Etcdserverpb_RangeResponse(serializedBytes: out)
    }

    @discardableResult
    func put(_ request: Etcdserverpb_PutRequest) throws -> Etcdserverpb_PutResponse {
        let bytes: [UInt8] = try request.serializedBytes()
        var out: [UInt8] = []
        try store.put(try PutCommand(bytes), in: bytes, header: Self.header, into: &out)
        advance()
        return try Etcdserverpb_PutResponse(serializedBytes: out)
    }

    @discardableResult
    func deleteRange(_ request: Etcdserverpb_DeleteRangeRequest) throws -> Etcdserverpb_DeleteRangeResponse {
        let bytes: [UInt8] = try request.serializedBytes()
        var out: [UInt8] = []
        try store.deleteRange(try DeleteRangeCommand(bytes), in: bytes, header: Self.header, into: &out)
        advance()
        return try Etcdserverpb_DeleteRangeResponse(serializedBytes: out)
    }

    @discardableResult
    func txn(_ request: Etcdserverpb_TxnRequest) throws -> Etcdserverpb_TxnResponse {
        let bytes: [UInt8] = try request.serializedBytes()
        var out: [UInt8] = []
        try store.txn(try TxnCommand(bytes), in: bytes, header: Self.header, into: &out)
        advance()
        return try Etcdserverpb_TxnResponse(serializedBytes: out)
    }

    // MARK: Short forms

    @discardableResult
    func put(_ key: String, _ value: String, lease: Int64 = 0) throws -> Int64 {
        try put(
            .with {
                $0.key = Data(key.utf8); $0.value = Data(value.utf8); $0.lease = lease
            }
        ).header.revision
    }

    @discardableResult
    func delete(_ key: String, to end: String = "") throws -> Int64 {
        try deleteRange(
            .with {
                $0.key = Data(key.utf8); $0.rangeEnd = Data(end.utf8)
            }
        ).header.revision
    }

    func compact(_ revision: Int64) throws {
        try store.compact(revision)
        advance()
    }

    func get(_ key: String, revision: Int64 = 0) throws -> String? {
        try range(
            .with {
                $0.key = Data(key.utf8); $0.revision = revision
            }
        ).kvs.first.map { String(decoding: $0.value, as: UTF8.self) }
    }

    /// All keys at a revision.
    func all(_ revision: Int64 = 0) throws -> [Mvccpb_KeyValue] {
        try range(
            .with {
                $0.key = Data([0]); $0.rangeEnd = Data([0]); $0.revision = revision
            }
        ).kvs
    }
}

/// The error of a call that must be refused.
func refusal(_ body: () throws -> Void) -> EtcdError? {
    do { try body() } catch StoreError.rejected(let error) { return error } catch { return nil }
    return nil
}
