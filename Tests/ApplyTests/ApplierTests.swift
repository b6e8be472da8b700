import Apply
import Auth
import Base
import EtcdProto
import Foundation
import MVCC
import Membership
import PlatformSim
import RaftCore
import SwiftProtobuf
import TestSupport
import Testing

@Suite struct ApplierTests {
    private func put(_ key: String, _ value: String = "v", lease: Int64 = 0) -> Etcdserverpb_PutRequest {
        .with {
            $0.key = Data(key.utf8); $0.value = Data(value.utf8); $0.lease = lease
        }
    }

    @Test func answersTheProposer() throws {
        let test = try TestApplier()
        let applied = try test.apply { $0.put = put("a") }
        #expect(applied.requestID == 77)
        let response: Etcdserverpb_PutResponse = try test.response(applied)
        #expect(response.header.revision == 2 && response.header.raftTerm == 5 && response.header.memberID == 0xABC)
        #expect(test.applier.backend.consistentIndex == LogIndex(1))
    }

    /// An entry as etcd 3.5 writes it: put k0=v0.
    @Test func readsEtcdsOwnBytes() throws {
        let test = try TestApplier()
        let applied = try test.apply(Hex.bytes("22 08 0a 02 6b30 12 02 7630 a2 06 02 08 09"))
        #expect(applied.requestID == 9)
        #expect(test.applier.store.liveKeyCount == 1)
    }

    @Test func emptyEntriesOnlyAdvanceTheIndex() throws {
        let test = try TestApplier()
        #expect(try test.apply([] as [UInt8]) == test.apply([] as [UInt8]))
        #expect(test.applier.backend.consistentIndex == LogIndex(2))
        #expect(test.applier.store.currentRevision == 1)
    }

    @Test func entriesAreAppliedOnce() throws {
        let test = try TestApplier()
        let request = Etcdserverpb_InternalRaftRequest.with { $0.put = put("a") }
        let bytes: [UInt8] = try request.serializedBytes()
        for index in 1...3 as ClosedRange<UInt64> { try test.apply(bytes, at: index) }
        try test.commit()
        try test.apply(bytes, at: 4)
        try test.reopen()
        #expect(test.applier.backend.consistentIndex == LogIndex(3))
        for index in 1...5 as ClosedRange<UInt64> { try test.apply(bytes, at: index) }
        #expect(test.applier.store.currentRevision == 6)
    }

    // MARK: Refusals

    @Test func refusalsAreOutcomes() throws {
        let test = try TestApplier()
        #expect(try test.apply { $0.put = put("a", lease: 4) }.outcome == .failure(.leaseNotFound))
        #expect(try test.apply { $0.compaction = .with { $0.revision = 9 } }.outcome == .failure(.futureRevision))
        #expect(test.applier.backend.consistentIndex == LogIndex(2))
        // A field of the wrong kind inside the request: the same answer on every member.
        guard case .failure(let error) = try test.apply(Hex.bytes("22 02 18 ff")).outcome else {
            Issue.record("a malformed request was carried out")
            return
        }
        #expect(error.code == .internal)
        #expect(throws: ApplyError.self) { try test.apply(Hex.bytes("ff")) }
    }

    // MARK: Users and roles

    private func addUser(_ name: String) -> (inout Etcdserverpb_InternalRaftRequest) -> Void {
        {
            $0.authUserAdd = .with {
                $0.name = name; $0.hashedPassword = "JDJhJDEw"
            }
        }
    }

    @Test("A password in clear, without a bcrypt at hand, stops the member: its file would differ from the others'")
    func clearPasswordWithoutHash() throws {
        let test = try TestApplier()
        #expect(throws: ApplyError.noPasswordHash(index: LogIndex(1))) {
            try test.apply {
                $0.authUserAdd = .with {
                    $0.name = "root"
                    $0.password = "secret"
                }
            }
        }
    }

    @Test("Once authentication is on, entries count for whom they name, at the auth revision they name")
    func authorizedEntries() throws {
        let test = try TestApplier()
        try test.apply(addUser("root"))
        try test.apply {
            $0.authUserGrantRole = .with {
                $0.user = "root"; $0.role = "root"
            }
        }
        try test.apply(addUser("alice"))
        try test.apply { $0.authRoleAdd = .with { $0.name = "w" } }
        try test.apply {
            $0.authRoleGrantPermission = .with {
                $0.name = "w"
                $0.perm = .with {
                    $0.permType = .write; $0.key = Data("w".utf8)
                }
            }
        }
        try test.apply {
            $0.authUserGrantRole = .with {
                $0.user = "alice"; $0.role = "w"
            }
        }
        try test.apply { $0.authEnable = .init() }
        let revision = test.applier.auth.revision
        #expect(revision == 7 && test.applier.auth.isEnabled)
        func put(_ key: String, by user: String, at revision: UInt64) throws -> AppliedEntry.Outcome {
            try test.apply {
                $0.header.username = user
                $0.header.authRevision = revision
                $0.put = self.put(key)
            }.outcome
        }
        #expect(try put("w", by: "", at: 0) == .failure(EtcdError(.invalidArgument, "etcdserver: user name is empty")))
        #expect(
            try put("w", by: "alice", at: revision - 1)
                == .failure(EtcdError(.invalidArgument, "etcdserver: revision of auth store is old")))
        #expect(
            try put("x", by: "alice", at: revision)
                == .failure(EtcdError(.permissionDenied, "etcdserver: permission denied")))
        #expect(test.applier.store.currentRevision == 1)
        guard case .response = try put("w", by: "alice", at: revision) else {
            Issue.record("alice may write w")
            return
        }
        guard case .response = try put("x", by: "root", at: revision) else {
            Issue.record("root may write everything")
            return
        }
        #expect(
            try test.apply { $0.authDisable = .init() }.outcome
                == .failure(EtcdError(.invalidArgument, "etcdserver: user name is empty")))
        try test.commit()
        try test.reopen()
        #expect(test.applier.auth.isEnabled && test.applier.auth.revision == revision)
    }

    // MARK: Alarms and quota

    private func alarm(
        _ action: Etcdserverpb_AlarmRequest.AlarmAction, _ member: UInt64, _ kind: Etcdserverpb_AlarmType
    )
        -> (inout Etcdserverpb_InternalRaftRequest) -> Void
    {
        {
            $0.alarm = .with {
                $0.action = action; $0.memberID = member; $0.alarm = kind
            }
        }
    }

    @Test func noSpaceAlarm() throws {
        let test = try TestApplier()
        try test.apply { $0.put = put("a") }
        try test.apply(alarm(.activate, 3, .nospace))
        let again: Etcdserverpb_AlarmResponse = try test.response(try test.apply(alarm(.activate, 3, .nospace)))
        #expect(again.alarms.map(\.memberID) == [3])
        #expect(try test.apply { $0.put = put("b") }.outcome == .failure(.noSpace))
        #expect(
            try test.apply {
                $0.leaseGrant = .with {
                    $0.id = 1; $0.ttl = 9
                }
            }.outcome == .failure(.noSpace))
        let txn = Etcdserverpb_TxnRequest.with { $0.failure = [.with { $0.requestPut = put("b") }] }
        #expect(try test.apply { $0.txn = txn }.outcome == .failure(.noSpace))
        let deleted = try test.apply { $0.deleteRange = .with { $0.key = Data("a".utf8) } }
        let response: Etcdserverpb_DeleteRangeResponse = try test.response(deleted)
        #expect(response.deleted == 1)
        try test.commit()
        try test.reopen()
        #expect(test.applier.alarms.contains(.noSpace, of: MemberID(3)))
        let none: Etcdserverpb_AlarmResponse = try test.response(try test.apply(alarm(.deactivate, 4, .nospace)))
        #expect(none.alarms.isEmpty)
        try test.apply(alarm(.deactivate, 3, .nospace))
        let left: Etcdserverpb_AlarmResponse = try test.response(try test.apply(alarm(.get, 0, .none)))
        #expect(left.alarms.isEmpty)
        let accepted: Etcdserverpb_PutResponse = try test.response(try test.apply { $0.put = put("b") })
        #expect(accepted.header.revision == 4)
    }

    @Test func corruptAlarm() throws {
        let test = try TestApplier()
        try test.apply(alarm(.activate, 3, .corrupt))
        #expect(try test.apply { $0.put = put("b") }.outcome == .failure(.corrupt))
        #expect(try test.apply { $0.deleteRange = .with { $0.key = Data("a".utf8) } }.outcome == .failure(.corrupt))
        #expect(try test.apply { $0.compaction = .with { $0.revision = 1 } }.outcome == .failure(.corrupt))
        #expect(try test.apply { $0.leaseRevoke = .with { $0.id = 1 } }.outcome == .failure(.corrupt))
        let left: Etcdserverpb_AlarmResponse = try test.response(try test.apply(alarm(.get, 0, .none)))
        #expect(left.alarms.map(\.alarm) == [.corrupt])
    }

    /// Beyond the own quota a write is carried out, so that members agree, but answered with an error.
    @Test func quota() throws {
        let test = try TestApplier(limits: ApplyLimits(quotaBytes: 1000))
        let applied = try test.apply { $0.put = put("a") }
        #expect(applied.outcome == .failure(.noSpace) && applied.exceedsQuota)
        #expect(test.applier.store.liveKeyCount == 1)
        #expect(test.out.isEmpty)
    }

    // MARK: Leases

    /// Up to 3.5 a checkpoint stays in memory; all members' files must say the same.
    @Test(arguments: [("3.5.0", Int64(0)), ("3.6.0", 40)]) func leaseCheckpoints(
        clusterVersion: String, stored: Int64
    ) throws {
        let test = try TestApplier()
        try test.apply { $0.clusterVersionSet = .with { $0.ver = clusterVersion } }
        try test.apply {
            $0.leaseGrant = .with {
                $0.id = 9
                $0.ttl = 100
            }
        }
        try test.apply {
            $0.leaseCheckpoint = .with {
                $0.checkpoints = [
                    .with {
                        $0.id = 9
                        $0.remainingTtl = 40
                    }
                ]
            }
        }
        #expect(test.applier.store.lease(LeaseID(9))?.remaining == 40)
        try test.commit()
        try test.reopen()
        #expect(test.applier.store.lease(LeaseID(9))?.remaining == stored)
    }

    @Test func leases() throws {
        let test = try TestApplier()
        let granted: Etcdserverpb_LeaseGrantResponse = try test.response(
            try test.apply {
                $0.leaseGrant = .with {
                    $0.id = -5; $0.ttl = 1
                }
            })
        #expect((granted.id, granted.ttl) == (-5, 2))
        #expect(
            try test.apply {
                $0.leaseGrant = .with {
                    $0.id = -5; $0.ttl = 1
                }
            }.outcome == .failure(.leaseExists))
        #expect(
            try test.apply {
                $0.leaseGrant = .with {
                    $0.id = 6; $0.ttl = 9_000_000_001
                }
            }.outcome
                == .failure(.leaseTTLTooLarge))
        try test.apply { $0.put = put("a", lease: -5) }
        try test.commit()
        try test.reopen()
        #expect(test.applier.store.keys(ofLease: LeaseID(-5)) == [Array("a".utf8)])
        try test.apply { $0.leaseRevoke = .with { $0.id = -5 } }
        #expect(test.applier.store.liveKeyCount == 0)
        #expect(try test.apply { $0.leaseRevoke = .with { $0.id = -5 } }.outcome == .failure(.leaseNotFound))
    }

    // MARK: Cluster records

    @Test func clusterRecords() throws {
        let test = try TestApplier()
        test.applier.cluster.apply(
            .add(ClusterMember(id: TestApplier.member, peerURLs: ["http://a:1"])), storingIn: test.applier.backend)
        try test.apply { $0.clusterVersionSet = .with { $0.ver = "3.7.0" } }
        try test.apply {
            $0.clusterMemberAttrSet = .with {
                $0.memberID = TestApplier.member.rawValue
                $0.memberAttributes = .with {
                    $0.name = "m1"; $0.clientUrls = ["http://a:2"]
                }
            }
        }
        try test.apply {
            $0.downgradeInfoSet = .with {
                $0.enabled = true; $0.ver = "3.6.0"
            }
        }
        test.applier.backend.setConfState(ConfState(voters: [TestApplier.member]))
        try test.commit()
        try test.reopen()
        #expect(test.applier.cluster.version == SemanticVersion(major: 3, minor: 7))
        #expect(test.applier.cluster.local?.name == "m1")
        let backend = test.applier.backend
        #expect(
            try backend.get(Array("downgrade".utf8), in: .cluster)
                == Array(#"{"target-version":"3.6.0","enabled":true}"#.utf8))
        #expect(test.applier.cluster.downgrade == DowngradeInfo(isEnabled: true, targetText: "3.6.0"))
        #expect(
            try backend.get(MetaKey.confState, in: .meta) == Array(#"{"voters":[2748],"auto_leave":false}"#.utf8))

        // The end names no version, whatever the entry says.
        try test.apply { $0.downgradeInfoSet = .with { $0.ver = "3.6.0" } }
        try test.commit()
        try test.reopen()
        #expect(test.applier.cluster.downgrade == .none)
        #expect(
            try test.applier.backend.get(Array("downgrade".utf8), in: .cluster)
                == Array(#"{"target-version":"","enabled":false}"#.utf8))

        test.applier.backend.put(Array("downgrade".utf8), Array("[]".utf8), in: .cluster)
        try test.commit()
        #expect(throws: (any Error).self) { try test.reopen() }
    }

    /// Members up to 3.5 publish themselves and set the version by requests of the v2 API.
    @Test(arguments: [false, true]) func legacyRequests(wrapped: Bool) throws {
        let test = try TestApplier()
        test.applier.cluster.apply(
            .add(ClusterMember(id: TestApplier.member, peerURLs: ["http://a:1"])), storingIn: test.applier.backend)
        func request(_ id: UInt64, _ method: String, _ path: String, _ value: String) -> [UInt8] {
            var out: [UInt8] = []
            Wire.appendVarintField(1, id, to: &out)
            for (field, text) in [(2, method), (3, path), (4, value)] {
                Wire.appendBytesField(field, text.utf8, to: &out)
            }
            Wire.appendVarintField(5, 0, to: &out)
            guard wrapped else { return out }
            var envelope: [UInt8] = []
            Wire.appendBytesField(2, out, to: &envelope)
            return envelope
        }
        let applied = try test.apply(
            request(8, "PUT", "/0/members/abc/attributes", #"{"name":"m1","clientURLs":["http://a:2"]}"#))
        #expect(applied.requestID == (wrapped ? 0 : 8))
        try test.apply(request(9, "PUT", "/0/version", "3.5.0"))
        try test.apply(request(10, "QGET", "/", ""))
        try test.apply(request(11, "SYNC", "", ""))
        #expect(test.applier.cluster.local?.clientURLs == ["http://a:2"])
        #expect(test.applier.cluster.version == SemanticVersion(major: 3, minor: 5))
        #expect(test.applier.backend.consistentIndex == LogIndex(4))
    }
}
