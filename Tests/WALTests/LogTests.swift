import Base
import Platform
import PlatformLinux
import PlatformSim
import RaftCore
import Testing
import WAL

@Suite("WriteAheadLog") struct LogTests {
    private let directory = "/data/wal"
    private let metadata = WALMetadata(memberID: MemberID(1), clusterID: ClusterID(2))

    private func makeDisk() throws -> SimDisk {
        let disk = SimDisk()
        try disk.createDirectory("/data")
        try disk.syncDirectory("/")
        return disk
    }

    private func options(_ segmentSize: Int64) -> WriteAheadLog.Options {
        var options = WriteAheadLog.Options()
        options.segmentSize = segmentSize
        return options
    }

    private func create(on disk: any Disk, segmentSize: Int64 = 4096) throws -> WriteAheadLog {
        try WriteAheadLog.create(
            on: disk, clock: StoppedClock(), directory: directory, metadata: metadata, options: options(segmentSize))
    }

    private func open(
        on disk: any Disk, at snapshot: WALSnapshot = WALSnapshot()
    ) throws -> (log: WriteAheadLog, contents: WALContents) {
        try WriteAheadLog.open(
            on: disk, clock: StoppedClock(), directory: directory, at: snapshot, options: options(4096))
    }

    private func entry(_ index: UInt64, bytes: Int = 1000, term: UInt64 = 1) -> Entry {
        Entry(term: Term(term), index: LogIndex(index), data: [UInt8](repeating: UInt8(index), count: bytes))
    }

    /// A log of four segments and a bit: entries 1…`count` of 1000 bytes, all committed.
    private func fill(_ log: WriteAheadLog, upTo count: UInt64 = 18) throws {
        for index in 1...count {
            let state = HardState(term: Term(1), vote: MemberID(1), commit: LogIndex(index))
            try log.save(hardState: state, entries: [entry(index)], sync: true)
        }
    }

    @Test("A new log has etcd's head, and creating makes it durable before it has its name")
    func createOrder() throws {
        let disk = try makeDisk()
        disk.startRecording()
        let log = try create(on: disk)
        let first = "0000000000000000-0000000000000000.wal"
        #expect(
            disk.recording == [
                "mkdir /data/wal.tmp", "open /data/wal.tmp/\(first)", "fallocate /data/wal.tmp/\(first) 4096",
                "write /data/wal.tmp/\(first) 0+64", "fdatasync /data/wal.tmp/\(first)", "fsync /data/wal.tmp",
                "rename /data/wal.tmp /data/wal", "fsync /data", "open /data/wal/\(first)",
            ])
        let head = try disk.contents(of: "\(directory)/\(first)")
        #expect(Array(head[0..<16]) == [4, 0, 0, 0, 0, 0, 0, 0x84, 8, 4, 0x10, 0, 0, 0, 0, 0])
        #expect(head.count == 4096)
        try log.close()
        #expect(throws: WALError.exists(directory: directory)) { try create(on: disk) }
    }

    @Test("A cut syncs the old segment, gives the new one a durable head, and only then its name")
    func cutOrder() throws {
        let disk = try makeDisk()
        let log = try create(on: disk)
        try log.pipeline.prepare()
        for index in 1...3 as ClosedRange<UInt64> { try log.save(hardState: nil, entries: [entry(index)], sync: true) }
        let state = HardState(term: Term(1), vote: MemberID(1), commit: LogIndex(3))
        disk.startRecording()
        let cost = try log.save(hardState: state, entries: [entry(4)], sync: true)
        #expect(cost.isCut)
        let old = "\(directory)/0000000000000000-0000000000000000.wal"
        let new = "\(directory)/0000000000000001-0000000000000005.wal"
        let end = try disk.open(old, .read).size()
        #expect(
            disk.recording.dropFirst() == [
                "truncate \(old) \(end)", "fdatasync \(old)", "write \(directory)/0.tmp 0+64",
                "fdatasync \(directory)/0.tmp", "rename \(directory)/0.tmp \(new)", "fsync \(directory)", "open \(new)",
            ])
        try log.pipeline.prepare()
        #expect(try disk.list(directory).contains("1.tmp"))
        try log.close()
        #expect(try open(on: disk).contents.entries == (1...4).map { entry($0) })
    }

    @Test("A save is one write and one sync; without need of a sync there is none; nothing is written for nothing")
    func saveCost() throws {
        let disk = try makeDisk()
        let log = try create(on: disk, segmentSize: 1 << 20)
        disk.startRecording()
        try log.save(hardState: HardState(term: Term(1)), entries: (1...50).map { entry($0) }, sync: true)
        #expect(disk.recording.map { $0.prefix(5) } == ["write", "fdata"])
        disk.startRecording()
        let state = HardState(term: Term(1), commit: LogIndex(50))
        #expect(!log.requiresSync(hardState: state, entries: []))
        #expect(log.requiresSync(hardState: HardState(term: Term(1), vote: MemberID(2)), entries: []))
        let cost = try log.save(hardState: state, entries: [], sync: false)
        #expect(disk.recording.count == 1 && cost.syncDuration == nil && cost.bytes > 0)
        disk.startRecording()
        #expect(try log.save(hardState: HardState(), entries: [], sync: true) == WriteAheadLog.SaveStatistics())
        #expect(disk.recording.isEmpty)
    }

    @Test("Entries replace those from their index on; those up to the snapshot are left out")
    func overwriting() throws {
        let disk = try makeDisk()
        let log = try create(on: disk)
        try fill(log, upTo: 6)
        try log.saveSnapshot(WALSnapshot(index: LogIndex(2), term: Term(1)))
        try log.save(hardState: nil, entries: [entry(5, bytes: 3, term: 2)], sync: true)
        try log.close()
        #expect(try open(on: disk).contents.entries == (1...4).map { entry($0) } + [entry(5, bytes: 3, term: 2)])
        let later = try open(on: disk, at: WALSnapshot(index: LogIndex(2), term: Term(1)))
        #expect(later.contents.entries.map(\.index.rawValue) == [3, 4, 5])
        #expect(later.log.lastIndex == LogIndex(5))
    }

    @Test("What was overwritten in front of the snapshot does not come back behind it")
    func overwrittenBeforeSnapshot() throws {
        let disk = try makeDisk()
        let log = try create(on: disk, segmentSize: 1 << 20)
        try log.save(hardState: HardState(term: Term(1)), entries: (1...4).map { entry($0) }, sync: true)
        // Another leader's entries: the fourth one of term 1 is void.
        let state = HardState(term: Term(2), commit: LogIndex(3))
        try log.save(hardState: state, entries: [2, 3].map { entry($0, term: 2) }, sync: true)
        let snapshot = WALSnapshot(index: LogIndex(3), term: Term(2))
        try log.saveSnapshot(snapshot)
        try log.close()
        let opened = try open(on: disk, at: snapshot)
        #expect(opened.contents.entries == [])
        #expect(opened.log.lastIndex == LogIndex(3))
    }

    @Test("Segments are locked until a snapshot releases them; purging takes only what is free, oldest first")
    func releaseAndPurge() throws {
        let disk = try makeDisk()
        let log = try create(on: disk)
        try fill(log)
        let names = try disk.list(directory).filter { $0.hasSuffix(".wal") }
        #expect(names.count == 5)
        let first = "\(directory)/\(names[0])"
        #expect(throws: WALError.locked(file: first)) { try open(on: disk) }
        #expect(try WriteAheadLog.purge(on: disk, directory: directory, keeping: 1) == [])
        // Segments begin at 0, 5, 9, 13, 17: what follows entry 10 begins in the third.
        try log.saveSnapshot(WALSnapshot(index: LogIndex(10), term: Term(1)))
        try log.releaseLocks(upTo: LogIndex(10))
        #expect(try WriteAheadLog.purge(on: disk, directory: directory, keeping: 4) == [first])
        #expect(try WriteAheadLog.purge(on: disk, directory: directory, keeping: 0) == [])
        #expect(
            try WriteAheadLog.purge(on: disk, directory: directory, keeping: 1) == ["\(directory)/\(names[1])"])
        try log.close()
        let snapshots = try WriteAheadLog.validSnapshots(on: disk, directory: directory)
        #expect(snapshots == [WALSnapshot(index: LogIndex(10), term: Term(1))])
        #expect(try open(on: disk, at: snapshots[0]).contents.entries.map(\.index.rawValue) == Array(11...18))
        #expect(throws: WALError.noSegment(directory: directory, index: .zero)) { try open(on: disk) }
    }

    @Test("Only snapshots up to the last commit are valid; the others cannot be opened at either")
    func snapshotRules() throws {
        let disk = try makeDisk()
        let log = try create(on: disk)
        try fill(log, upTo: 3)
        let valid = WALSnapshot(index: LogIndex(3), term: Term(1), confState: ConfState(voters: [MemberID(1)]))
        try log.saveSnapshot(valid)
        try log.saveSnapshot(WALSnapshot(index: LogIndex(4), term: Term(1)))
        #expect(log.lastIndex == LogIndex(4))
        try log.close()
        #expect(try WriteAheadLog.validSnapshots(on: disk, directory: directory) == [WALSnapshot(), valid])
        #expect(throws: WALError.snapshotNotFound(directory: directory, index: LogIndex(2))) {
            try open(on: disk, at: WALSnapshot(index: LogIndex(2), term: Term(1)))
        }
        #expect {
            try open(on: disk, at: WALSnapshot(index: LogIndex(3), term: Term(9)))
        } throws: {
            guard case .snapshotMismatch(_, _, _, expected: Term(9), found: Term(1))? = $0 as? WALError else {
                return false
            }
            return true
        }
    }

    @Test("A missing segment, another member's segment and a foreign directory are refused by name")
    func refusals() throws {
        let disk = try makeDisk()
        #expect(try !WriteAheadLog.exists(on: disk, directory: directory))
        let log = try create(on: disk)
        try fill(log)
        try log.close()
        let names = try disk.list(directory)
        let second = try disk.contents(of: "\(directory)/\(names[1])")
        try disk.remove("\(directory)/\(names[1])")
        #expect(throws: WALError.missingSegment(file: names[2], expected: 1, found: 2)) { try open(on: disk) }
        var foreign = Array(second[..<16])
        var encoder = RecordEncoder(crc: UInt32(try #require(crcOfHead(second))))
        encoder.append(.metadata, WALMetadata(memberID: MemberID(9), clusterID: ClusterID(2)).encoded())
        foreign += encoder.buffer
        try disk.install(foreign, at: "\(directory)/\(names[1])")
        #expect(throws: WALError.metadataConflict(file: names[1], offset: 16)) { try open(on: disk) }
        try disk.install([1, 2, 3], at: "/other/wal/junk.wal")
        #expect(try WriteAheadLog.exists(on: disk, directory: "/other/wal"))
        #expect(throws: WALError.notFound(directory: "/other/wal")) {
            try WriteAheadLog.validSnapshots(on: disk, directory: "/other/wal")
        }
    }

    /// The checksum in the first record of a segment: its field 2.
    private func crcOfHead(_ segment: [UInt8]) -> UInt64? {
        var value: UInt64 = 0
        for (i, byte) in segment[11...].prefix(5).enumerated() {
            value |= UInt64(byte & 0x7F) << UInt64(7 * i)
            if byte < 0x80 { return value }
        }
        return nil
    }

    @Test(
        "After a failed write or sync the log refuses everything, and opens again with all that was acknowledged",
        arguments: [
            Fault(.write, path: ".wal", after: 3, .failAfter(bytes: 700, .noSpace)),
            Fault(.sync, path: ".wal", after: 3, .fail(.io)), Fault(.allocate, path: ".tmp", .fail(.noSpace)),
            Fault(.rename, path: ".tmp", .fail(.io)),
        ])
    func failures(fault: Fault) throws {
        let disk = try makeDisk()
        let log = try create(on: disk)
        disk.inject(fault)
        var saved: UInt64 = 0
        var failure: (any Error)?
        for index in 1...8 as ClosedRange<UInt64> {
            do {
                try log.save(hardState: nil, entries: [entry(index)], sync: true)
                saved = index
            } catch {
                failure = error
                break
            }
        }
        guard case .disk? = failure as? WALError else {
            Issue.record("no failure of the disk but \(String(describing: failure))")
            return
        }
        #expect(throws: WALError.self) { try log.save(hardState: nil, entries: [], sync: true) }
        #expect(throws: WALError.self) { try log.sync() }
        try log.close()
        let after = disk.crash(.keepUnsynced)
        if (try? open(on: after)) == nil {
            #expect(try WriteAheadLog.repair(on: after, directory: directory) != nil)
        }
        let (again, contents) = try open(on: after)
        #expect(contents.entries.count >= Int(saved))
        #expect(contents.entries.elementsEqual((1...8).map { entry($0) }.prefix(contents.entries.count)))
        try again.save(hardState: nil, entries: [entry(again.lastIndex.rawValue + 1)], sync: true)
    }

    @Test("Reads that come back short are completed")
    func shortReads() throws {
        let disk = try makeDisk()
        let log = try create(on: disk)
        try fill(log)
        try log.close()
        disk.inject(Fault(.read, times: 40, .shortRead(count: 701)))
        #expect(try open(on: disk).contents.entries.count == 18)
    }

    @Test("An interrupted creation is no obstacle to the next one")
    func interruptedCreation() throws {
        let disk = try makeDisk()
        disk.inject(Fault(.rename, .fail(.io)))
        #expect(throws: WALError.self) { try create(on: disk) }
        #expect(try disk.list("/data") == [])
        disk.stop(atSync: disk.syncCount + 2)
        #expect(throws: WALError.self) { try create(on: disk) }
        let after = disk.crash(.keepUnsynced)
        #expect(try after.list("/data") == ["wal.tmp"])
        try fill(try create(on: after))
        #expect(try after.list("/data") == ["wal"])
    }
}
