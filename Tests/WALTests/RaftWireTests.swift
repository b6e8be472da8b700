import Base
import EtcdProto
import RaftCore
import RaftProto
import TestSupport
import Testing

@Suite("Raft messages as protobuf") struct RaftWireTests {
    @Test("A heartbeat of 3.7.1 reads; ours has the older versions' tail")
    func heartbeat() throws {
        let seen = Hex.bytes("08 08 10 8f8689c2c9e1a989ac01 18 9b849386bd82c4c154 20 02 40 00 62 08 0600000000000000")
        let message = try Message(decoding: seen)
        let expected = Message(
            type: .heartbeat, to: MemberID(0xac12_a70c_9842_430f), from: MemberID(0x5483_1013_d0c4_c21b),
            term: Term(2), context: [6, 0, 0, 0, 0, 0, 0, 0])
        #expect(message == expected)
        var ours: [UInt8] = []
        message.encode(to: &ours)
        let numbers = "08 08 10 8f8689c2c9e1a989ac01 18 9b849386bd82c4c154 20 02 28 00 30 00 40 00 "
        let tail = "4a 0a 12 08 0a 02 28 00 10 00 18 00 50 00 58 00 62 08 06 00 00 00 00 00 00 00"
        #expect(ours == Hex.bytes(numbers + tail))
        #expect(try Message(decoding: ours) == message)
    }

    @Test("A message with entries and one with a snapshot come back as they were")
    func roundTrips() throws {
        let entries = [
            Entry(type: .confChange, term: Term(3), index: LogIndex(9), data: [1, 2, 3]),
            Entry(term: Term(.max), index: LogIndex(.max)),
        ]
        let state = ConfState(
            voters: [MemberID(1), MemberID(.max)], learners: [MemberID(3)], votersOutgoing: [MemberID(4)],
            learnersNext: [MemberID(5)], autoLeave: true)
        let snapshot = Snapshot(
            data: Array("{}".utf8), metadata: SnapshotMetadata(confState: state, index: LogIndex(7), term: Term(2)))
        let messages = [
            Message(
                type: .append, to: MemberID(1), from: MemberID(2), term: Term(3), logTerm: Term(2), index: LogIndex(8),
                entries: entries, commit: LogIndex(7)),
            Message(type: .snapshot, to: MemberID(1), from: MemberID(2), term: Term(3), snapshot: snapshot),
            Message(
                type: .appendResponse, to: MemberID(1), from: MemberID(2), term: Term(3), logTerm: Term(1),
                index: LogIndex(8), reject: true, rejectHint: LogIndex(5)),
        ]
        for message in messages {
            var bytes: [UInt8] = []
            message.encode(to: &bytes)
            #expect(try Message(decoding: bytes) == message)
        }
    }

    @Test("Entries: the bytes of both styles read, numbers are always written, sizes agree")
    func entries() throws {
        #expect(
            try Entry(decoding: Hex.bytes("10 02 18 02")) == Entry(decoding: Hex.bytes("08 00 10 02 18 02")))
        for entry in [
            Entry(term: Term(2), index: LogIndex(2)),
            Entry(
                type: .confChangeV2, term: Term(300), index: LogIndex(1 << 60),
                data: [UInt8](repeating: 7, count: 200)),
        ] {
            var bytes: [UInt8] = []
            entry.encode(to: &bytes)
            #expect(bytes.count == entry.wireSize)
            #expect(bytes.starts(with: [8, entry.type.rawValue]))
            #expect(try Entry(decoding: bytes) == entry)
        }
    }

    @Test("Packed and unpacked lists of members are the same")
    func packedLists() throws {
        let unpacked = try ConfState(decoding: Hex.bytes("08 01 08 ac 02 28 00"))
        #expect(unpacked == ConfState(voters: [MemberID(1), MemberID(300)]))
        #expect(try ConfState(decoding: Hex.bytes("0a 03 01 ac 02")) == unpacked)
        var bytes: [UInt8] = []
        unpacked.encode(to: &bytes)
        #expect(bytes == Hex.bytes("08 01 08 ac 02 28 00"))
    }

    @Test(
        "What is no such message is refused",
        arguments: [
            ("08 03 10 02 18 02", WireError.outOfRange(field: 1)), ("10", .truncated(offset: 1)),
            ("22 05 00", .truncated(offset: 0)), ("0a 00", .unexpectedWireType(field: 1)),
            ("20 01", .unexpectedWireType(field: 4)), ("0b", .invalidTag(offset: 0, tag: 11)),
        ])
    func malformed(hex: String, error: WireError) {
        #expect(throws: error) { try Entry(decoding: Hex.bytes(hex)) }
    }

    @Test("Bytes at random never trap", arguments: 1...50 as ClosedRange<UInt64>)
    func randomBytes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let bytes = (0..<random.next(below: 40)).map { _ in
                // Small numbers make tags and lengths that go on.
                UInt8(truncatingIfNeeded: random.chance(2, in: 3) ? UInt64(random.next(below: 100)) : random.next())
            }
            if let message = try? Message(decoding: bytes), !message.type.isLocal {
                var again: [UInt8] = []
                message.encode(to: &again)
                #expect((try? Message(decoding: again)) == message, "seed \(seed): \(Hex.text(bytes))")
            }
        }
    }
}
