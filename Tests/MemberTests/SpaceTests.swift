import Apply
import Base
import EtcdProto
import Foundation
import Member
import Platform
import PlatformSim
import SwiftProtobuf
import Testing

/// A member whose quota is used up, and has room again.
@Suite("A member's quota") struct SpaceTests {
    private func call<Response: SwiftProtobuf.Message>(
        _ body: ClientRequest.Body, _ member: SimulatedMember, as type: Response.Type = Response.self
    ) throws -> Response {
        member.post([ClientRequest(ticket: 1, body: body)])
        #expect(member.run { $0.responses[1] != nil })
        return try Response(serializedBytes: try #require(member.takeResponse(1)).get())
    }

    /// Fills a member until it refuses, then deletes everything and compacts.
    private func filled(clears: Bool) throws -> SimulatedMember {
        var configuration = SimulatedMember.configuration()
        configuration.quotaBytes = 2 << 20
        configuration.clearsNoSpaceAlarm = clears
        let member = try SimulatedMember(on: SimDisk(), clock: ManualClock(), configuration: configuration)
        #expect(member.run { $0.isReady })
        let value = String(repeating: "v", count: 50_000)
        var revision: Int64 = 0
        var refusal: EtcdError?
        for i in 0..<60 where refusal == nil {
            do {
                let put: Etcdserverpb_PutResponse = try call(KV.put("key \(i)", value), member)
                revision = put.header.revision
            } catch let error as EtcdError {
                refusal = error
            }
        }
        #expect(refusal == .noSpace)
        #expect(revision > 20)
        #expect(member.run { $0.core.applier.alarms.contains(.noSpace) })
        let all = Etcdserverpb_DeleteRangeRequest.with {
            $0.key = Data([0])
            $0.rangeEnd = Data([0])
        }
        let deleted: Etcdserverpb_DeleteRangeResponse = try call(.deleteRange(try all.serializedBytes()), member)
        let compaction = Etcdserverpb_CompactionRequest.with {
            $0.revision = deleted.header.revision
            $0.physical = true
        }
        let _: Etcdserverpb_CompactionResponse = try call(.compaction(try compaction.serializedBytes()), member)
        return member
    }

    @Test("The alarm is taken back by itself when compaction has made room") func clearsItself() throws {
        let member = try filled(clears: true)
        #expect(member.run { !$0.core.applier.alarms.contains(.noSpace) })
        #expect(member.lines.contains { $0.message.hasPrefix("clearing the NOSPACE alarm") })
        let _: Etcdserverpb_PutResponse = try call(KV.put("again", "1"), member)
    }

    @Test("With manual disarm it stays until somebody takes it back") func staysWhenTold() throws {
        let member = try filled(clears: false)
        #expect(!member.run(upTo: .seconds(5)) { !$0.core.applier.alarms.contains(.noSpace) })
        #expect(throws: EtcdError.noSpace) {
            let _: Etcdserverpb_PutResponse = try call(KV.put("again", "1"), member)
        }
        let disarm = Etcdserverpb_AlarmRequest.with {
            $0.action = .deactivate
            $0.memberID = member.core.applier.alarms.all.first?.member.rawValue ?? 0
            $0.alarm = .nospace
        }
        let answer: Etcdserverpb_AlarmResponse = try call(.alarm(try disarm.serializedBytes()), member)
        #expect(answer.alarms.count == 1)
        let _: Etcdserverpb_PutResponse = try call(KV.put("again", "1"), member)
    }

    @Test("Defragment is answered at once") func defragment() throws {
        let member = try SimulatedMember(on: SimDisk(), clock: ManualClock())
        #expect(member.run { $0.isReady })
        let answer: Etcdserverpb_DefragmentResponse = try call(.defragment, member)
        #expect(!answer.hasHeader)
    }
}
