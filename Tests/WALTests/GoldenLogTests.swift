import Base
import EtcdProto
import Foundation
import Platform
import PlatformLinux
import RaftCore
import RaftProto
import TestSupport
import Testing
import WAL

/// A golden data directory with a dump of its log.
struct GoldenLog: CustomTestStringConvertible, Sendable {
    var version: String
    var name: String
    var testDescription: String { "\(version) \(name)" }
    var archive: String { "etcd-\(version)/\(name).tar.gz" }
    var dump: String { "etcd-\(version)/\(name).wal.tsv" }

    static let versions = ["3.4.23", "3.5.1", "3.6.14", "3.7.1"]
    static let all = versions.flatMap { version in
        ["single", "crash", "restored"].map { GoldenLog(version: version, name: $0) }
    }
    /// Two segments, the first 64 MB of large records: seconds of checksums in a debug build, so the short form has
    /// one.
    static let large = versions.filter { $0 == "3.5.1" || longForm(1, short: 0) == 1 }
        .map { GoldenLog(version: $0, name: "walcut") }
}

@Suite("Golden logs of etcd") struct GoldenLogTests {
    let disk = LinuxDisk()

    @Test("Every record reads as the dump says; 3.4 to 3.6 bytes come out again", arguments: GoldenLog.all)
    func records(golden: GoldenLog) throws {
        guard let archive = try FixtureArchive(golden.archive, members: ["\(golden.name)/member/wal"]),
            let fixtures = PackageFiles.fixtures(for: golden.dump)
        else { return }
        try compare(golden, archive.path + "/member/wal", fixtures)
    }

    @Test("A log of two segments reads as the dump says", arguments: GoldenLog.large)
    func cutLog(golden: GoldenLog) throws {
        guard let archive = try FixtureArchive(golden.archive, members: ["\(golden.name)/member/wal"]),
            let fixtures = PackageFiles.fixtures(for: golden.dump)
        else { return }
        try compare(golden, archive.path + "/member/wal", fixtures)
    }

    private func compare(_ golden: GoldenLog, _ directory: String, _ fixtures: String) throws {
        let expected = try String(contentsOfFile: "\(fixtures)/\(golden.dump)", encoding: .utf8)
            .split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
        let segments = try WriteAheadLog.segmentNames(on: disk, directory).map { name in
            let path = "\(directory)/\(name)"
            return SegmentFile(name: name, path: path, file: try disk.open(path, .read))
        }
        var reader = try RecordReader(segments)
        var encoder = RecordEncoder(crc: 0)
        var lines: [String] = []
        var ends = segments.map { _ in Int64(0) }
        while let record = try reader.next() {
            if record.segment > 0, record.offset == 0 {
                try expectSame(encoder, segments[record.segment - 1], ends[record.segment - 1], golden)
                encoder = RecordEncoder(crc: encoder.crc.value)
            }
            let before = encoder.buffer.count
            lines.append(try line(record, reader, &encoder, segments))
            ends[record.segment] = reader.offset
            if golden.version != "3.7.1" {
                #expect(before == Int(record.offset))
                #expect(encoder.buffer.count == Int(reader.offset), "\(lines[lines.count - 1])")
            }
        }
        try expectSame(encoder, segments[segments.count - 1], ends[segments.count - 1], golden)
        #expect(lines.count == expected.count)
        for (a, b) in zip(lines, expected) where a != b { Issue.record("read \(a), expected \(b)") }
    }

    /// 3.7 leaves out what was not set, so its bytes differ from ours while the checksums of our own are right.
    private func expectSame(
        _ encoder: RecordEncoder, _ segment: SegmentFile, _ end: Int64, _ golden: GoldenLog
    ) throws {
        guard golden.version != "3.7.1" else { return }
        #expect(Int(end) == encoder.buffer.count)
        let stored = try segment.file.read(at: 0, count: encoder.buffer.count)
        #expect(stored == encoder.buffer, "re-encoded \(segment.name)")
    }

    private func line(
        _ record: RecordReader.Record, _ reader: RecordReader, _ encoder: inout RecordEncoder,
        _ segments: [SegmentFile]
    ) throws -> String {
        let type = try #require(RecordType(rawValue: record.type))
        let bytes = reader.buffer
        var detail = ""
        switch type {
        case .crc: encoder.appendChecksum()
        case .metadata:
            let data = Array(bytes[record.data])
            let metadata = try WALMetadata(decoding: data)
            detail = "node=\(metadata.memberID) cluster=\(metadata.clusterID)"
            encoder.append(.metadata, data)
        case .state:
            let state = try HardState(decoding: bytes, in: record.data)
            detail = "term=\(state.term) vote=\(state.vote) commit=\(state.commit)"
            encoder.append(state)
        case .entry:
            let entry = try Entry(decoding: bytes, in: record.data)
            detail =
                "entry_type=\(entry.type.rawValue) term=\(entry.term) index=\(entry.index) "
                + "data_len=\(entry.data.count)"
            encoder.append(entry)
        case .snapshot:
            let snapshot = try WALSnapshot(decoding: bytes, in: record.data)
            var confState: [UInt8] = []
            snapshot.confState?.encode(to: &confState)
            // The restore tool of 3.7 leaves auto_leave out.
            let stored = Hex.text(bytes[record.data])
            let text = Hex.text(confState)
            let shown = stored.hasSuffix(text) ? text : String(text.dropLast(4))
            detail = "index=\(snapshot.index) term=\(snapshot.term) conf_state=\(shown)"
            encoder.append(snapshot)
        }
        let frame = try segments[record.segment].file.read(at: record.offset, count: 8)
        let length = frame[0..<7].reversed().reduce(0) { $0 << 8 | Int($1) }
        let crc = String(record.crc, radix: 16)
        let fields = [
            "\(segments[record.segment].name)", "\(record.offset)", "\(length)", "\(frame[7] & 0x7F)", "\(type)",
            String(repeating: "0", count: 8 - crc.count) + crc, detail,
        ]
        return fields.joined(separator: "\t")
    }

    @Test("Opens for append, takes more, and gives all of it back", arguments: GoldenLog.all)
    func append(golden: GoldenLog) throws {
        guard let archive = try FixtureArchive(golden.archive, members: ["\(golden.name)/member/wal"]) else { return }
        let directory = archive.path + "/member/wal"
        #expect(try WriteAheadLog.exists(on: disk, directory: directory))
        let snapshot = try #require(try WriteAheadLog.validSnapshots(on: disk, directory: directory).last)
        let (log, contents) = try WriteAheadLog.open(on: disk, clock: LinuxClock(), directory: directory, at: snapshot)
        #expect(contents.hardState.commit >= snapshot.index)
        var entries = contents.entries
        let next = (0..<20).map { i in
            Entry(
                term: contents.hardState.term, index: log.lastIndex + (i + 1),
                data: [UInt8](repeating: UInt8(i), count: i * 100))
        }
        entries += next
        let state = HardState(
            term: contents.hardState.term, vote: contents.hardState.vote, commit: next[19].index)
        #expect(log.requiresSync(hardState: nil, entries: next))
        #expect(!log.requiresSync(hardState: state, entries: []))
        let cost = try log.save(hardState: state, entries: next, sync: true)
        #expect(cost.bytes > 19 * 950 && cost.syncDuration != nil && !cost.isCut)
        try log.close()
        let again = try WriteAheadLog.open(on: disk, clock: LinuxClock(), directory: directory, at: snapshot)
        #expect(again.contents.entries == entries)
        #expect(again.contents.hardState == state)
        #expect(again.contents.metadata == contents.metadata)
        #expect(again.log.lastIndex == next[19].index)
    }

    @Test("The logs of all members of a cluster open at their last snapshot", arguments: GoldenLog.versions)
    func cluster(version: String) throws {
        let members = (1...4).map { "cluster/m\($0)/member/wal" }
        guard let archive = try FixtureArchive("etcd-\(version)/cluster.tar.gz", members: members) else { return }
        for member in 1...4 {
            let directory = "\(archive.path)/m\(member)/member/wal"
            let snapshots = try WriteAheadLog.validSnapshots(on: disk, directory: directory)
            let snapshot = try #require(snapshots.last)
            let (log, contents) = try WriteAheadLog.open(
                on: disk, clock: LinuxClock(), directory: directory, at: snapshot)
            #expect(contents.entries.first.map { $0.index == snapshot.index.next() } ?? true)
            #expect(contents.hardState.commit <= log.lastIndex)
            try log.close()
        }
    }
}
