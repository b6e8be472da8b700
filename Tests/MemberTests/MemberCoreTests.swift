import Base
import EtcdProto
import Foundation
import Member
import Membership
import Platform
import PlatformSim
import SwiftProtobuf
import Testing

/// Encoded requests and decoded answers.
enum KV {
    static func put(_ key: String, _ value: String) throws -> ClientRequest.Body {
        var request = Etcdserverpb_PutRequest()
        request.key = .init(key.utf8)
        request.value = .init(value.utf8)
        return .put(try request.serializedBytes())
    }

    static func get(_ key: String, serializable: Bool = false) throws -> ClientRequest.Body {
        var request = Etcdserverpb_RangeRequest()
        request.key = .init(key.utf8)
        request.serializable = serializable
        return .range(try request.serializedBytes())
    }

    /// - Parameter revision: 0 for the newest.
    static func all(at revision: Int64 = 0) throws -> ClientRequest.Body {
        var request = Etcdserverpb_RangeRequest()
        request.key = .init([0])
        request.rangeEnd = .init([0])
        request.serializable = true
        request.revision = revision
        return .range(try request.serializedBytes())
    }

    static func compact(at revision: Int64) throws -> ClientRequest.Body {
        .compaction(try Etcdserverpb_CompactionRequest.with { $0.revision = revision }.serializedBytes())
    }

    static func delete(from key: String, to end: String) throws -> ClientRequest.Body {
        let request = Etcdserverpb_DeleteRangeRequest.with {
            $0.key = .init(key.utf8)
            $0.rangeEnd = .init(end.utf8)
        }
        return .deleteRange(try request.serializedBytes())
    }

    /// How often each key was put.
    static func versions(_ response: [UInt8]) throws -> [Int64] {
        try Etcdserverpb_RangeResponse(serializedBytes: response).kvs.map(\.version)
    }

    static func pairs(_ response: [UInt8]) throws -> [String: String] {
        let decoded = try Etcdserverpb_RangeResponse(serializedBytes: response)
        return Dictionary(
            uniqueKeysWithValues: decoded.kvs.map {
                (String(decoding: $0.key, as: UTF8.self), String(decoding: $0.value, as: UTF8.self))
            })
    }
}

@Suite("MemberCore") struct MemberCoreTests {
    private func started(on disk: SimDisk, _ clock: ManualClock) throws -> SimulatedMember {
        let member = try SimulatedMember(on: disk, clock: clock)
        #expect(member.run { $0.isReady })
        #expect(member.failure == nil)
        return member
    }

    private func answer(_ body: ClientRequest.Body, _ member: SimulatedMember) throws -> [UInt8] {
        member.post([ClientRequest(ticket: 1, body: body)])
        #expect(member.run { $0.responses[1] != nil })
        return try #require(member.takeResponse(1)).get()
    }

    @Test("A new member elects itself, publishes itself and agrees on the cluster version")
    func founds() throws {
        let disk = SimDisk()
        let member = try started(on: disk, ManualClock())
        let list = try Etcdserverpb_MemberListResponse(
            serializedBytes: answer(.memberList(linearizable: true), member))
        #expect(list.members.map(\.name) == ["default"])
        #expect(list.members[0].clientUrls == ["http://localhost:2379"])
        #expect(list.members[0].id == MemberID(peerURLs: ["http://localhost:2380"], token: "etcd-cluster").rawValue)
        let status = try Etcdserverpb_StatusResponse(serializedBytes: answer(.status, member))
        #expect(status.leader == list.members[0].id)
        #expect(status.version == "3.7.1")
        #expect(member.run { $0.lines.contains { $0.message == "updated storage version" } })
        #expect(try Etcdserverpb_StatusResponse(serializedBytes: answer(.status, member)).storageVersion == "3.7.0")
    }

    @Test("What was put is read, linearizably and serializably, also after a restart")
    func putsAndGets() throws {
        let clock = ManualClock()
        let disk = SimDisk()
        let member = try started(on: disk, clock)
        _ = try answer(KV.put("a", "1"), member)
        let put = try Etcdserverpb_PutResponse(serializedBytes: answer(KV.put("a", "2"), member))
        #expect(put.header.revision == 3)
        #expect(try KV.pairs(answer(KV.get("a"), member)) == ["a": "2"])
        #expect(try KV.pairs(answer(KV.get("a", serializable: true), member)) == ["a": "2"])
        let again = try started(on: disk.crash(.keepUnsynced), clock)
        #expect(try KV.pairs(answer(KV.get("a"), again)) == ["a": "2"])
        #expect(
            try Etcdserverpb_RangeResponse(serializedBytes: answer(KV.get("a"), again)).header.revision == 3)
    }

    @Test("A put is answered only after the log is durable")
    func answersAfterDurability() throws {
        let member = try started(on: SimDisk(), ManualClock())
        member.post([ClientRequest(ticket: 5, body: try KV.put("k", "v"))])
        for _ in 0..<3 { member.turn() }
        #expect(member.responses[5] == nil)
        member.writeLog()
        member.turn()
        #expect(member.responses[5] != nil)
    }

    @Test(
        "Snapshots are taken, old entries leave memory and old segments the disk, and a restart begins at the snapshot")
    func snapshots() throws {
        let clock = ManualClock()
        let disk = SimDisk()
        let member = try started(on: disk, clock)
        for i in 0..<200 { _ = try answer(KV.put("k\(i % 7)", "\(i)"), member) }
        #expect(member.lines.filter { $0.message == "saved snapshot" }.count >= 3)
        let names = try disk.list("data/member/snap").filter { $0.hasSuffix(".snap") }
        #expect(names.count == 2)
        let again = try started(on: disk.crash(.loseUnsynced), clock)
        #expect(try KV.pairs(answer(KV.get("k3"), again)) == ["k3": "199"])
    }

    @Test("A request that cannot be done is refused with etcd's error")
    func refusals() throws {
        let member = try started(on: SimDisk(), ManualClock())
        var big = Etcdserverpb_PutRequest()
        big.key = .init([1])
        big.value = .init(count: 1_572_864)
        #expect(throws: EtcdError.requestTooLarge) { try answer(.put(big.serializedBytes()), member) }
        var future = Etcdserverpb_RangeRequest()
        future.key = .init([1])
        future.revision = 100
        #expect(throws: EtcdError.futureRevision) { try answer(.range(future.serializedBytes()), member) }
        var lease = Etcdserverpb_PutRequest()
        lease.key = .init([1])
        lease.lease = 77
        #expect(throws: EtcdError.leaseNotFound) { try answer(.put(lease.serializedBytes()), member) }
        #expect(throws: EtcdError.self) { try answer(.put([0xFF, 0xFF]), member) }
        #expect(throws: EtcdError.self) { try answer(.range([0x0A, 0x7F, 0x01]), member) }
        _ = try answer(KV.put("after", "1"), member)
    }

    @Test("A full disk ends the member with a line that says so; what was acknowledged is still there")
    func fullDisk() throws {
        let clock = ManualClock()
        let disk = SimDisk()
        let member = try started(on: disk, clock)
        _ = try answer(KV.put("a", "1"), member)
        disk.inject(Fault(.write, path: ".wal", .fail(.noSpace)))
        member.post([ClientRequest(ticket: 9, body: try KV.put("b", "2"))])
        #expect(!member.run(upTo: .seconds(1)) { _ in false })
        let failure = try #require(member.failure)
        #expect(failure.description.contains("no space left on device"))
        #expect(member.takeResponse(9) == .failure(.stopped))
        let again = try started(on: disk.crash(.keepUnsynced), clock)
        #expect(try KV.pairs(answer(KV.all(), again))["a"] == "1")
    }

    @Test("Without a leader a change waits, and times out at its deadline")
    func timesOut() throws {
        let clock = ManualClock()
        let member = try SimulatedMember(on: SimDisk(), clock: clock)
        member.post([ClientRequest(ticket: 1, body: try KV.put("a", "1"), deadline: clock.now() + .milliseconds(250))])
        for _ in 0..<40 {
            member.turn()
            clock.advance(.milliseconds(10))
        }
        #expect(member.takeResponse(1) == .failure(.deadlineExceeded))
    }
}
