import Apply
import Base
import EtcdProto
import Foundation
import MVCC
import Membership
import PlatformLinux
import RaftCore
import TestSupport
import Testing

/// Figures of a release build, not run by default: `MARTLET_BENCHMARK=1 swift test -c release --filter
/// ApplyBenchmarks`.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["MARTLET_BENCHMARK"] != nil), .serialized)
struct ApplyBenchmarks {
    static let count = 500_000

    private static func key(_ i: Int, random: Bool) -> [UInt8] {
        let number = random ? UInt64(i) &* 0x9E37_79B9_7F4A_7C15 : UInt64(i)
        let text = String(number, radix: 16)
        return Array("registry/pods/ns".utf8) + [UInt8](repeating: UInt8(ascii: "0"), count: 16 - text.utf8.count)
            + Array(text.utf8)
    }

    private static func entry(_ i: Int, random: Bool, value: [UInt8]) -> Entry {
        var put: [UInt8] = []
        Wire.appendBytesField(1, key(i, random: random), to: &put)
        Wire.appendBytesField(2, value, to: &put)
        var data: [UInt8] = []
        Wire.appendBytesField(4, put, to: &data)
        Wire.appendBytesField(100, [0x08, 0x09], to: &data)
        return Entry(term: Term(1), index: LogIndex(UInt64(i + 1)), data: data)
    }

    private static func residentBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        return (Int(text.split(separator: " ")[1]) ?? 0) * 4096
    }

    private func report(_ what: String, _ count: Int, _ duration: Duration) {
        let seconds = Double(duration.components.attoseconds) / 1e18 + Double(duration.components.seconds)
        print("benchmark: \(what): \(Int(Double(count) / seconds)) /s, \(Int(seconds * 1e9 / Double(count))) ns each")
    }

    @Test(arguments: [false, true]) func putsAndRanges(random: Bool) throws {
        let directory = try PackageFiles.temporaryDirectory("apply-benchmark")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let file = try BackendFile.open(directory + "/db", on: LinuxDisk())
        let backend = try Backend(try file.read())
        let applier = try Applier(
            try KeyValueStore(backend), cluster: RaftCluster(id: ClusterID(1), localID: MemberID(1)))
        let value = [UInt8](repeating: 7, count: 256)
        let header = ResponseHeader(clusterID: ClusterID(1), memberID: MemberID(1), term: Term(1))
        var out: [UInt8] = []
        let order = random ? "random" : "ascending"
        let clock = ContinuousClock()
        var applying = Duration.zero
        var committing = Duration.zero
        for start in stride(from: 0, to: Self.count, by: 10_000) {
            let entries = (start..<start + 10_000).map { Self.entry($0, random: random, value: value) }
            applying += try clock.measure {
                for entry in entries {
                    out.removeAll(keepingCapacity: true)
                    _ = try applier.apply(entry, header: header, into: &out)
                }
            }
            committing += try clock.measure {
                if let batch = backend.freeze() { backend.committed(try batch.write(to: file)) }
            }
        }
        report("put of a new key, \(order)", Self.count, applying)
        report("its share of the commits, \(order)", Self.count, committing)
        let requests = (0..<100_000).map { i in
            var request: [UInt8] = []
            Wire.appendBytesField(1, Self.key((i &* 7919) % Self.count, random: random), to: &request)
            return request
        }
        let reading = try clock.measure {
            for request in requests {
                out.removeAll(keepingCapacity: true)
                try applier.store.range(request, header: header, into: &out)
            }
        }
        report("range of one key in the file, \(order)", requests.count, reading)
        let entries = (0..<100_000).map { i in
            var entry = Self.entry((i &* 7919) % Self.count, random: random, value: value)
            entry.index = LogIndex(UInt64(Self.count + i + 1))
            return entry
        }
        let overwriting = try clock.measure {
            for entry in entries {
                out.removeAll(keepingCapacity: true)
                _ = try applier.apply(entry, header: header, into: &out)
            }
        }
        report("put of an existing key, \(order)", entries.count, overwriting)
        let buffered = try clock.measure {
            for request in requests {
                out.removeAll(keepingCapacity: true)
                try applier.store.range(request, header: header, into: &out)
            }
        }
        report("range of one key in the buffer, \(order)", requests.count, buffered)
    }

    @Test(arguments: [false, true]) func bytesPerKey(random: Bool) throws {
        let count = 1_000_000
        let batch = 10_000
        let order = random ? "random" : "ascending"
        let clock = ContinuousClock()
        let before = try Self.residentBytes()
        var index = IndexProbe()
        var putting = Duration.zero
        var looking = Duration.zero
        for start in stride(from: 0, to: count, by: batch) {
            let keys = (start..<start + batch).map { Self.key($0, random: random) }
            putting += clock.measure { index.put(keys, from: Int64(start + 2)) }
        }
        let after = try Self.residentBytes()
        for start in stride(from: 0, to: count, by: batch) {
            let keys = (start..<start + batch).map { Self.key($0 &* 7919 % count, random: random) }
            looking += clock.measure { #expect(index.find(keys) == batch) }
        }
        report("index put, \(order)", count, putting)
        report("index lookup, \(order)", count, looking)
        print(
            "benchmark: index of \(index.count) keys of 32 bytes, \(order): \(index.allocatedBytes / count) bytes a key "
                + "in its arrays, \((after - before) / count) resident")
    }
}
