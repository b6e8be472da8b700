import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

/// The generated messages against bytes that etcd servers wrote: decoding them and encoding the result must give the
/// same bytes, presence of zero fields included.
@Suite struct GoldenBytesTests {
    struct Golden: Sendable, CustomTestStringConvertible {
        var name: String
        var hex: String
        var roundTrip: @Sendable (_ bytes: [UInt8]) throws -> [UInt8]
        var testDescription: String { name }

        init<M: Message & Equatable>(_ name: String, _ hex: String, _ message: M) {
            self.name = name
            self.hex = hex
            roundTrip = { bytes in
                let decoded = try M(serializedBytes: bytes)
                #expect(decoded == message)
                return try message.serializedBytes()
            }
        }
    }

    static let member: UInt64 = 0x94b2_a7f7_b8a2_9773

    static let cases: [Golden] = [
        Golden(
            "no-op entry, 3.7", "10 02 18 03",
            Raftpb_Entry.with {
                $0.term = 2
                $0.index = 3
            }),
        Golden(
            "no-op entry, 3.5", "08 00 10 02 18 03",
            Raftpb_Entry.with {
                $0.type = .entryNormal
                $0.term = 2
                $0.index = 3
            }),
        Golden(
            "hard state", "08 01 10 00 18 02",
            Raftpb_HardState.with {
                $0.term = 1
                $0.vote = 0
                $0.commit = 2
            }),
        Golden(
            "first snapshot record of a log", "08 00 10 00",
            Walpb_Snapshot.with {
                $0.index = 0
                $0.term = 0
            }),
        Golden(
            "snapshot record with a conf state", "08 33 10 02 1a 0d 08 f3 ae 8a c5 fb fe a9 d9 94 01 28 00",
            Walpb_Snapshot.with {
                $0.index = 51
                $0.term = 2
                $0.confState.voters = [member]
                $0.confState.autoLeave = false
            }),
        Golden(
            "first record of a log", "08 04 10 00",
            Walpb_Record.with {
                $0.type = 4
                $0.crc = 0
            }),
        Golden(
            "bootstrap conf change, 3.7", "10 00 18 f3 ae 8a c5 fb fe a9 d9 94 01 22 02 7b 7d",
            Raftpb_ConfChange.with {
                $0.type = .confChangeAddNode
                $0.nodeID = member
                $0.context = Data("{}".utf8)
            }),
        Golden(
            "bootstrap conf change, 3.5", "08 00 10 00 18 f3 ae 8a c5 fb fe a9 d9 94 01 22 02 7b 7d",
            Raftpb_ConfChange.with {
                $0.id = 0
                $0.type = .confChangeAddNode
                $0.nodeID = member
                $0.context = Data("{}".utf8)
            }),
        Golden(
            "empty snapshot of a raft message, up to 3.6", "4a 0a 12 08 0a 02 28 00 10 00 18 00",
            Raftpb_Message.with {
                $0.snapshot.metadata.confState.autoLeave = false
                $0.snapshot.metadata.index = 0
                $0.snapshot.metadata.term = 0
            }),
        Golden(
            "conf state: numbers not packed", "08 01 08 02 10 03 28 00",
            Raftpb_ConfState.with {
                $0.voters = [1, 2]
                $0.learners = [3]
                $0.autoLeave = false
            }),
        Golden(
            "put row of the backend", "0a 0a 77 2f 62 79 2d 61 6c 69 63 65 10 02 18 02 20 01 2a 01 31",
            Mvccpb_KeyValue.with {
                $0.key = Data("w/by-alice".utf8)
                $0.createRevision = 2
                $0.modRevision = 2
                $0.version = 1
                $0.value = Data("1".utf8)
            }),
        Golden(
            "empty header is not an absent one", "0a 00",
            Etcdserverpb_PutResponse.with { $0.header = Etcdserverpb_ResponseHeader() }),
        Golden(
            "oneof members are written even when default", "1a 01 6b 20 00",
            Etcdserverpb_Compare.with {
                $0.key = Data("k".utf8)
                $0.version = 0
            }),
        Golden(
            "proposal: request before header", "22 03 0a 01 6b a2 06 02 08 05",
            Etcdserverpb_InternalRaftRequest.with {
                $0.put.key = Data("k".utf8)
                $0.header.id = 5
            }),
    ]

    @Test(arguments: cases) func bytesAgree(golden: Golden) throws {
        let bytes = Hex.bytes(golden.hex)
        let again = try golden.roundTrip(bytes)
        #expect(Hex.text(again) == Hex.text(bytes))
    }

    @Test func packedNumbersAreReadToo() throws {
        let packed = try Raftpb_ConfState(serializedBytes: Hex.bytes("0a 02 01 02 28 00"))
        #expect(packed.voters == [1, 2])
    }

    @Test func enumNumbersBeyondTheListAreKept() throws {
        let request = try Etcdserverpb_RangeRequest(serializedBytes: Hex.bytes("0a 01 6b 28 07 30 09"))
        #expect(request.sortOrder == .UNRECOGNIZED(7))
        #expect(request.sortTarget == .UNRECOGNIZED(9))
        #expect(Hex.text(try request.serializedBytes() as [UInt8]) == "0a016b28073009")
    }

    /// Every row of every bucket that holds messages, in databases of four versions.
    @Test(arguments: ["etcd-3.4.23", "etcd-3.5.1", "etcd-3.6.14", "etcd-3.7.1"])
    func backendRowsSurviveDecodingAndEncoding(version: String) async throws {
        guard let fixtures = PackageFiles.fixtures(for: "backend rows of \(version)") else { return }
        let result = try await Subprocess.run("/bin/gzip", ["-dc", "\(fixtures)/\(version)/single.db.json.gz"])
        let dump = try JSONDecoder().decode(Dump.self, from: Data(result.output))
        var rows = 0
        func check<M: Message>(_ bucket: String, as type: M.Type) throws {
            for item in dump.buckets[bucket]?.items ?? [] {
                guard case .hex(let text) = item.value else { continue }
                let bytes = Hex.bytes(text)
                let again: [UInt8] = try M(serializedBytes: bytes).serializedBytes()
                #expect(Hex.text(again) == text, "bucket \(bucket), key \(item.key)")
                rows += 1
            }
        }
        try check("key", as: Mvccpb_KeyValue.self)
        try check("lease", as: Leasepb_Lease.self)
        try check("alarm", as: Etcdserverpb_AlarmMember.self)
        try check("authUsers", as: Authpb_User.self)
        try check("authRoles", as: Authpb_Role.self)
        #expect(rows > 30)
    }

    /// `*.db.json.gz`: items are pairs of hex texts; a long value is an object with its length and checksum instead.
    struct Dump: Decodable {
        struct Bucket: Decodable { var items: [Item] }
        struct Item: Decodable {
            enum Value { case hex(String), summary }
            var key: String
            var value: Value

            init(from decoder: any Swift.Decoder) throws {
                var pair = try decoder.unkeyedContainer()
                key = try pair.decode(String.self)
                if let text = try? pair.decode(String.self) { value = .hex(text) } else { value = .summary }
            }
        }
        var buckets: [String: Bucket]
    }
}
