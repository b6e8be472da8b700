import Apply
import Base
import EtcdProto
import Foundation
import MVCC
import Membership
import PlatformSim
import RaftCore
import SwiftProtobuf

/// An applier over a store on a simulated disk, fed with encoded requests.
final class TestApplier {
    let disk: SimDisk
    private(set) var file: BackendFile
    private(set) var applier: Applier
    private let limits: ApplyLimits
    private(set) var index: UInt64 = 0
    var out: [UInt8] = []

    static let member = MemberID(0xABC)

    init(on disk: SimDisk = SimDisk(), limits: ApplyLimits = ApplyLimits()) throws {
        self.disk = disk
        self.limits = limits
        file = try BackendFile.open("db", on: disk)
        applier = try Self.open(file, limits)
        index = applier.backend.consistentIndex.rawValue
    }

    private static func open(_ file: BackendFile, _ limits: ApplyLimits) throws -> Applier {
        let backend = try Backend(try file.read())
        let cluster = try RaftCluster(id: ClusterID(1), localID: member, recoveringFrom: backend)
        return try Applier(try KeyValueStore(backend), cluster: cluster, limits: limits)
    }

    func commit() throws {
        if let batch = applier.backend.freeze() { applier.backend.committed(try batch.write(to: file)) }
    }

    func reopen() throws {
        try file.close()
        file = try BackendFile.open("db", on: disk)
        applier = try Self.open(file, limits)
    }

    static let header = ResponseHeader(clusterID: ClusterID(1), memberID: member, term: Term(5))

    @discardableResult
    func apply(_ data: [UInt8], at index: UInt64? = nil) throws -> AppliedEntry {
        self.index = index ?? self.index + 1
        out.removeAll(keepingCapacity: true)
        return try applier.apply(
            Entry(term: Term(5), index: LogIndex(self.index), data: data), header: Self.header, into: &out)
    }

    @discardableResult
    func apply(_ change: (inout Etcdserverpb_InternalRaftRequest) -> Void) throws -> AppliedEntry {
        var request = Etcdserverpb_InternalRaftRequest()
        request.header.id = 77
        change(&request)
        return try apply(try request.serializedBytes() as [UInt8])
    }

    /// The response to the last entry.
    func response<Response: SwiftProtobuf.Message>(_ applied: AppliedEntry) throws -> Response {
        guard case .response(let range) = applied.outcome else { throw Unanswered(outcome: applied.outcome) }
        return try Response(serializedBytes: Array(out[range]))
    }

    struct Unanswered: Error {
        var outcome: AppliedEntry.Outcome
    }
}
