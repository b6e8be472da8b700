import Base
import EtcdProto
import MVCC
import Member
import Platform
import PlatformSim
import SwiftProtobuf
import Testing

/// Members that have come apart: what is kept of it and told.
@Suite("Divergence") struct DivergenceTests {
    private static func divergence(_ member: UInt64, at index: UInt64, hash: UInt32 = 2) -> Divergence {
        Divergence(
            member: MemberID(member), local: EffectsHash.Window(index: LogIndex(index), hash: 1),
            remote: EffectsHash.Window(index: LogIndex(index), hash: hash))
    }

    @Test("The first finding about a member is kept, told once, counted and shown until it is settled")
    func record() throws {
        let member = try SimulatedMember(on: SimDisk(), clock: ManualClock())
        try #require(member.run { $0.isReady })
        let core = member.core
        core.noteDivergence(Self.divergence(7, at: 3000))
        core.noteDivergence(Self.divergence(5, at: 4000))
        core.noteDivergence(Self.divergence(7, at: 5000, hash: 9))
        let expected = [Self.divergence(5, at: 4000), Self.divergence(7, at: 3000)]
        #expect(core.divergences == expected)

        member.askForStatistics()
        member.post([ClientRequest(ticket: 1, body: .status)])
        try #require(member.run { $0.responses[1] != nil })
        #expect(member.statistics?.divergences == expected)
        #expect(member.statistics?.divergencesFound == 2)
        let status = try Etcdserverpb_StatusResponse(serializedBytes: try #require(try member.takeResponse(1)?.get()))
        let own = core.localID.rawValue
        #expect(
            status.errors == [
                "memberID:\(own) differs from memberID:5 at index:4000",
                "memberID:\(own) differs from memberID:7 at index:3000",
            ])
        let told = member.lines.filter { $0.message.hasPrefix("members have come apart") }
        #expect(told.count == 2 && told.allSatisfy { $0.level == .error })
        let fields = try #require(told.first?.fields)
        for (name, value) in [
            ("local-member-name", "default"), ("remote-member-id", "7"), ("differs-at-index", "3000"),
            ("agreed-through-index", "unknown"),
        ] {
            #expect(fields.contains { $0.name == name && $0.value == value }, "\(name) in \(fields)")
        }

        core.settleDivergence(with: MemberID(7))
        core.settleDivergence(with: MemberID(7))
        #expect(core.divergences == [Self.divergence(5, at: 4000)])
        core.noteDivergence(Self.divergence(7, at: 5000))
        #expect(core.divergences.count == 2, "a settled member can come apart again")
    }
}
