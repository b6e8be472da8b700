import EtcdProto
import Foundation
import MVCC
import SwiftProtobuf
import Testing

/// Reads that are answered in slices say the same as those that are answered at once.
@Suite struct RangeRunTests {
    private func filled() throws -> TestStore {
        let real = try TestStore()
        for i in 0..<200 {
            try real.put("key/\(i * 7 % 90)", String(repeating: "v", count: i % 40 == 0 ? 3000 : i % 10))
            if i % 17 == 3 { try real.delete("key/\(i % 50)") }
            if i % 50 == 0 { try real.commit() }
        }
        return real
    }

    private func whole(_ real: TestStore, _ request: Etcdserverpb_RangeRequest) throws -> Etcdserverpb_RangeResponse {
        var out: [UInt8] = []
        try real.store.range(try request.serializedBytes(), header: TestStore.header, into: &out)
        return try Etcdserverpb_RangeResponse(serializedBytes: out)
    }

    /// - Returns: the response, and how many slices it took.
    private func sliced(
        _ real: TestStore, _ request: Etcdserverpb_RangeRequest, slice: Int, between: (Int) throws -> Void = { _ in }
    ) throws -> (Etcdserverpb_RangeResponse, slices: Int) {
        let bytes: [UInt8] = try request.serializedBytes()
        var out: [UInt8] = [1, 2, 3]
        guard
            var run = try real.store.beginRange(
                try RangeCommand(bytes), in: bytes, header: TestStore.header, slice: slice, into: &out)
        else {
            return (try Etcdserverpb_RangeResponse(serializedBytes: Array(out.dropFirst(3))), 1)
        }
        #expect(out == [1, 2, 3])
        var slices = 1
        repeat {
            try between(slices)
            slices += 1
        } while try !real.store.rangeStep(&run, slice: slice)
        return (try Etcdserverpb_RangeResponse(serializedBytes: run.takeResponse()), slices)
    }

    private static func keys(
        through end: String, _ change: (inout Etcdserverpb_RangeRequest) -> Void = { _ in }
    ) -> Etcdserverpb_RangeRequest {
        var request = Etcdserverpb_RangeRequest()
        request.key = Data("key".utf8)
        request.rangeEnd = Data(end.utf8)
        change(&request)
        return request
    }

    private static let requests = [
        keys(through: "kez"),
        keys(through: "\0"),
        keys(through: "\0") { $0.limit = 20 },
        keys(through: "kez") {
            $0.keysOnly = true
            $0.revision = 120
        },
        keys(through: "kez") { $0.sortOrder = .descend },
        keys(through: "\0") { $0.countOnly = true },
        keys(through: "a"),
    ]

    @Test(arguments: [1, 5, 100_000]) func slicesGiveTheWholeAnswer(slice: Int) throws {
        let real = try filled()
        for request in Self.requests {
            let expected = try whole(real, request)
            let (found, slices) = try sliced(real, request, slice: slice)
            #expect(found == expected)
            let isSliced = request.sortOrder == .none && !request.countOnly && request.rangeEnd != Data("a".utf8)
            #expect((slices > 3) == (isSliced && slice <= 5), "\(slices) slices of \(slice)")
        }
    }

    @Test func allOfItIsOfOneRevision() throws {
        let real = try filled()
        for request in Self.requests {
            let expected = try whole(real, request)
            let (found, _) = try sliced(real, request, slice: 2) { slice in
                try real.put("key/\(slice * 13 % 95)", "later")
                try real.put("key/\(slice)/new", "later")
                try real.delete("key/\(slice * 5 % 90)")
                if slice % 7 == 0 { try real.commit() }
            }
            #expect(found == expected)
        }
    }

    @Test func aCompactionMakesItBeginAgain() throws {
        let real = try filled()
        let request = Self.requests[0]
        let (found, _) = try sliced(real, request, slice: 5) { slice in
            guard slice == 3 else { return }
            try real.put("key/1", "new")
            try real.compact(real.store.currentRevision)
            try real.finishCompaction()
        }
        #expect(try found == whole(real, request))
        #expect(found.header.revision == real.store.currentRevision)

        // One after the other must not keep it from ending.
        var compactions = 0
        let (last, slices) = try sliced(real, request, slice: 1) { slice in
            try real.put("key/2", "\(slice)")
            try real.compact(real.store.currentRevision)
            compactions += 1
        }
        #expect(try last == whole(real, request))
        #expect(slices < 10 && compactions == slices - 1)
        try real.finishCompaction()

        // What was asked for by number is gone.
        var old = request
        old.revision = real.store.currentRevision - 1
        try real.put("key/3", "x")
        old.revision = real.store.currentRevision - 1
        #expect(
            refusal {
                _ = try sliced(real, old, slice: 1) { _ in
                    if real.store.compactRevision < real.store.currentRevision {
                        try real.compact(real.store.currentRevision)
                    }
                }
            } == .compacted)
    }
}
