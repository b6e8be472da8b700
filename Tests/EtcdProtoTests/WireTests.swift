import Base
import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

@Suite struct WireTests {
    static func fields(_ bytes: [UInt8]) throws(WireError) -> [(field: Int, value: WireValue)] {
        var cursor = WireCursor(bytes.indices)
        var found: [(field: Int, value: WireValue)] = []
        while let next = try cursor.next(in: bytes.span) { found.append(next) }
        return found
    }

    @Test(
        arguments: [
            ("08 01", 1, WireValue.varint(1)),
            ("08 ff ff ff ff ff ff ff ff ff 01", 1, .varint(.max)),
            ("08 80 00", 1, .varint(0)),
            ("0a 00", 1, .bytes(2..<2)),
            ("12 02 aa bb", 2, .bytes(2..<4)),
            ("19 01 00 00 00 00 00 00 80", 3, .fixed64(0x8000_0000_0000_0001)),
            ("25 78 56 34 12", 4, .fixed32(0x1234_5678)),
            ("a0 06 07", 100, .varint(7)),
            ("f8 ff ff ff 0f 00", 0x1FFF_FFFF, .varint(0)),
        ])
    func oneField(hex: String, field: Int, value: WireValue) throws {
        let found = try Self.fields(Hex.bytes(hex))
        #expect(found.count == 1)
        #expect(found.first?.field == field)
        #expect(found.first?.value == value)
    }

    @Test(
        arguments: [
            ("08", WireError.truncated(offset: 1)),
            ("08 80", .truncated(offset: 1)),
            ("80", .truncated(offset: 0)),
            ("0a 01", .truncated(offset: 0)),
            ("08 01 0a 05 00", .truncated(offset: 2)),
            ("0a ff ff ff ff ff ff ff ff ff 01", .truncated(offset: 0)),
            ("19 00 00 00", .truncated(offset: 1)),
            ("25 00 00 00", .truncated(offset: 1)),
            ("08 ff ff ff ff ff ff ff ff ff 02", .malformedVarint(offset: 1)),
            ("08 80 80 80 80 80 80 80 80 80 80 01", .malformedVarint(offset: 1)),
            ("00 01", .invalidTag(offset: 0, tag: 0)),
            ("0b", .invalidTag(offset: 0, tag: 11)),
            ("0c", .invalidTag(offset: 0, tag: 12)),
            ("0e", .invalidTag(offset: 0, tag: 14)),
            ("80 80 80 80 10 00", .invalidTag(offset: 0, tag: 1 << 32)),
        ])
    func badBytes(hex: String, error: WireError) {
        #expect(throws: error) { try Self.fields(Hex.bytes(hex)) }
    }

    /// The cursor reads only its own range, whatever stands behind it.
    @Test func stopsAtTheEndOfItsRange() throws {
        let bytes = Hex.bytes("08 01 10 02 ff ff")
        var cursor = WireCursor(2..<4)
        let field = try cursor.next(in: bytes.span)
        #expect(field?.field == 2)
        #expect(try cursor.next(in: bytes.span) == nil)
        var cut = WireCursor(0..<1)
        #expect(throws: WireError.truncated(offset: 1)) { try cut.next(in: bytes.span) }
    }

    @Test(arguments: 0..<64) func varintSizes(bits: Int) {
        for value in [UInt64(1) << UInt64(bits), (UInt64(1) << UInt64(bits)) - 1, .max >> UInt64(bits)] {
            var bytes: [UInt8] = []
            Wire.appendVarint(value, to: &bytes)
            #expect(bytes.count == Wire.varintSize(value), "value \(value)")
            var field: [UInt8] = []
            Wire.appendVarintField(1302, value, to: &field)
            #expect(field.count == Wire.varintFieldSize(1302, value))
        }
    }

    @Test(arguments: [0, 1, 127, 128, 300]) func bytesFields(count: Int) throws {
        let content = [UInt8](repeating: 0xAB, count: count)
        var bytes: [UInt8] = []
        Wire.appendBytesField(20, content, to: &bytes)
        #expect(bytes.count == Wire.bytesFieldSize(20, count))
        let found = try Self.fields(bytes)
        #expect(found.first?.field == 20)
        guard case .bytes(let range) = found.first?.value else {
            Issue.record("not a bytes field")
            return
        }
        #expect(Array(bytes[range]) == content)
    }

    // MARK: - Agreement with the generated code

    /// What the generated encoder wrote, the cursor takes apart and the appenders put together again, bytewise.
    @Test(arguments: UInt64(1)...8) func agreesWithTheGeneratedEncoder(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let message = RandomMessages.proposal(&random, depth: 3)
            let bytes: [UInt8] = try message.serializedBytes()
            var again: [UInt8] = []
            for (field, value) in try Self.fields(bytes) {
                switch value {
                case .varint(let number): Wire.appendVarintField(field, number, to: &again)
                case .bytes(let range): Wire.appendBytesField(field, bytes[range], to: &again)
                case .fixed32, .fixed64: Issue.record("seed \(seed): no such field in these messages")
                }
            }
            #expect(again == bytes, "seed \(seed)")
        }
    }

    /// Every proper prefix of a message either ends between two fields or is refused.
    @Test(arguments: UInt64(1)...4) func everyPrefixIsWholeOrRefused(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let bytes: [UInt8] = try RandomMessages.proposal(&random, depth: 2).serializedBytes()
        var ends: Set<Int> = [0]
        var cursor = WireCursor(bytes.indices)
        while try cursor.next(in: bytes.span) != nil { ends.insert(cursor.offset) }
        for count in 0...bytes.count {
            let prefix = Array(bytes[..<count])
            if ends.contains(count) {
                #expect(throws: Never.self, "seed \(seed), \(count) bytes") { try Self.fields(prefix) }
            } else {
                #expect(throws: WireError.self, "seed \(seed), \(count) bytes") { try Self.fields(prefix) }
            }
        }
    }

    /// What the cursor accepts, the generated decoder accepts: neither lets through what the other refuses later.
    @Test(arguments: UInt64(1)...4) func acceptsNoMoreThanTheGeneratedDecoder(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var accepted = 0
        for _ in 0..<5_000 {
            let bytes = (0..<random.next(below: 12)).map { _ in UInt8.random(in: 0...255, using: &random) }
            guard (try? Self.fields(bytes)) != nil else { continue }
            accepted += 1
            #expect(throws: Never.self, "seed \(seed), bytes \(Hex.text(bytes))") {
                try Etcdserverpb_EmptyResponse(serializedBytes: bytes)
            }
        }
        #expect(accepted > 100)
    }
}

/// Seeded messages with every kind of field that proposals have.
enum RandomMessages {
    static func proposal(_ random: inout SeededGenerator, depth: Int) -> Etcdserverpb_InternalRaftRequest {
        var request = Etcdserverpb_InternalRaftRequest()
        request.header.id = random.next()
        switch random.next(below: 4) {
        case 0: request.put = put(&random)
        case 1: request.deleteRange = deleteRange(&random)
        case 2: request.compaction.revision = Int64(bitPattern: random.next())
        default: request.txn = txn(&random, depth: depth)
        }
        return request
    }

    static func txn(_ random: inout SeededGenerator, depth: Int) -> Etcdserverpb_TxnRequest {
        var txn = Etcdserverpb_TxnRequest()
        for _ in 0..<random.next(below: 3) { txn.compare.append(compare(&random)) }
        for _ in 0..<random.next(below: 4) { txn.success.append(operation(&random, depth: depth)) }
        for _ in 0..<random.next(below: 4) { txn.failure.append(operation(&random, depth: depth)) }
        return txn
    }

    static func operation(_ random: inout SeededGenerator, depth: Int) -> Etcdserverpb_RequestOp {
        var operation = Etcdserverpb_RequestOp()
        switch random.next(below: depth > 0 ? 4 : 3) {
        case 0: operation.requestPut = put(&random)
        case 1: operation.requestDeleteRange = deleteRange(&random)
        case 2:
            operation.requestRange.key = bytes(&random)
            operation.requestRange.limit = Int64(random.next(below: 1000)) - 500
            operation.requestRange.sortTarget = .init(rawValue: random.next(below: 9)) ?? .key
            operation.requestRange.serializable = random.chance(1, in: 2)
        default: operation.requestTxn = txn(&random, depth: depth - 1)
        }
        return operation
    }

    static func compare(_ random: inout SeededGenerator) -> Etcdserverpb_Compare {
        var compare = Etcdserverpb_Compare()
        compare.key = bytes(&random)
        compare.rangeEnd = bytes(&random)
        switch random.next(below: 3) {
        case 0: compare.value = bytes(&random)
        case 1: compare.modRevision = Int64(bitPattern: random.next())
        default: compare.version = 0
        }
        return compare
    }

    static func put(_ random: inout SeededGenerator) -> Etcdserverpb_PutRequest {
        .with {
            $0.key = bytes(&random)
            $0.value = bytes(&random)
            $0.lease = Int64(random.next(below: 3)) - 1
            $0.prevKv = random.chance(1, in: 2)
        }
    }

    static func deleteRange(_ random: inout SeededGenerator) -> Etcdserverpb_DeleteRangeRequest {
        .with {
            $0.key = bytes(&random)
            $0.rangeEnd = bytes(&random)
        }
    }

    static func bytes(_ random: inout SeededGenerator) -> Data {
        Data((0..<random.next(below: 40)).map { _ in UInt8.random(in: 0...255, using: &random) })
    }
}
