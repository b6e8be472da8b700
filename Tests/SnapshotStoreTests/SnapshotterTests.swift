import Base
import Foundation
import Platform
import PlatformLinux
import PlatformSim
import RaftCore
import SnapshotStore
import TestSupport
import Testing

@Suite("Snapshotter") struct SnapshotterTests {
    private func snapshotter(_ disk: any Disk, _ directory: String) -> Snapshotter {
        Snapshotter(disk: disk, clock: LinuxClock(), directory: directory)
    }

    private func snapshot(term: UInt64, index: UInt64, bytes: Int = 100) -> Snapshot {
        Snapshot(
            data: (0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ Int(index)) },
            metadata: SnapshotMetadata(
                confState: ConfState(voters: [MemberID(1), MemberID(2)], learners: [MemberID(.max)]),
                index: LogIndex(index), term: Term(term)))
    }

    /// `/snap`, durable.
    private func makeDisk() throws -> SimDisk {
        let disk = SimDisk()
        try disk.createDirectory("/snap")
        try disk.syncDirectory("/")
        return disk
    }

    // MARK: Golden files

    struct Golden: CustomTestStringConvertible, Sendable {
        var version: String
        var name: String
        var testDescription: String { "\(version) \(name)" }
        static let all = ["3.4.23", "3.5.1", "3.6.14", "3.7.1"].flatMap { version in
            ["single", "crash", "restored", "walcut"].map { Golden(version: version, name: $0) }
        }
    }

    @Test("Every file of etcd reads as the dump says; 3.4 to 3.6 bytes come out again", arguments: Golden.all)
    func golden(golden: Golden) throws {
        let disk = LinuxDisk()
        let folder = "\(golden.name)/member/snap"
        guard let archive = try FixtureArchive("etcd-\(golden.version)/\(golden.name).tar.gz", members: [folder]),
            let fixtures = PackageFiles.fixtures(for: "snapshot dumps")
        else { return }
        let directory = archive.path + "/member/snap"
        let url = URL(fileURLWithPath: "\(fixtures)/etcd-\(golden.version)/\(golden.name).snaps.json")
        let dump = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: [String: Any]])
        let store = snapshotter(disk, directory)
        #expect(try store.list().sorted() == dump.keys.sorted())
        for (name, expected) in dump {
            let snapshot = try store.load(name)
            let state = snapshot.metadata.confState
            #expect(snapshot.metadata.index.rawValue == (expected["index"] as? NSNumber)?.uint64Value)
            #expect(snapshot.metadata.term.rawValue == (expected["term"] as? NSNumber)?.uint64Value)
            #expect(state.voters.map(\.rawValue) == (expected["voters"] as? [NSNumber])?.map(\.uint64Value))
            #expect(state.learners.map(\.rawValue) == (expected["learners"] as? [NSNumber])?.map(\.uint64Value))
            #expect(snapshot.data.count == expected["data_len"] as? Int)
            if golden.version != "3.7.1" {
                let stored = try disk.open("\(directory)/\(name)", .read).read(at: 0, count: 1 << 20)
                #expect(SnapshotFile.encode(snapshot) == stored, "\(name)")
            }
        }
        let newest = try store.loadNewest().snapshot
        #expect(newest == (try store.load(try #require(try store.list().first))))
    }

    @Test(
        "A damaged newest file is set aside and the one before it used, as etcd does", arguments: ["3.5.1", "3.7.1"],
        ["snap-bitflip", "snap-empty", "snap-missing"])
    func corrupt(version: String, name: String) throws {
        let members = ["\(name)/member/snap"]
        guard let archive = try FixtureArchive("etcd-\(version)/corrupt/\(name).tar.gz", members: members) else {
            return
        }
        let disk = LinuxDisk()
        let directory = archive.path + "/member/snap"
        let newest = "\(directory)/0000000000000002-000000000000008a.snap"
        let (snapshot, broken) = try snapshotter(disk, directory).loadNewest()
        #expect(snapshot?.metadata.index == LogIndex(0x5c))
        if name == "snap-missing" { return #expect(broken.isEmpty) }
        #expect(broken.map(\.file) == [newest])
        #expect(broken.first?.renamedTo == newest + ".broken")
        switch broken.first?.reason {
        case .empty?: #expect(name == "snap-empty")
        case .checksumMismatch?: #expect(name == "snap-bitflip")
        default: Issue.record("\(broken)")
        }
        #expect(try disk.exists(newest + ".broken"))
        #expect(try !disk.exists(newest))
        #expect(try snapshotter(disk, directory).loadNewest().broken.isEmpty)
    }

    // MARK: Saving

    @Test("What is saved is loaded, newest by term and then index, if it is valid")
    func saveAndLoad() throws {
        let disk = try makeDisk()
        let store = snapshotter(disk, "/snap")
        #expect(try store.loadNewest().snapshot == nil)
        for (term, index) in [(1, 5), (2, 3), (2, 16)] as [(UInt64, UInt64)] {
            #expect(try store.save(snapshot(term: term, index: index)).bytes > 100)
        }
        #expect(
            try store.list() == [
                "0000000000000002-0000000000000010.snap", "0000000000000002-0000000000000003.snap",
                "0000000000000001-0000000000000005.snap",
            ])
        #expect(try store.loadNewest().snapshot == snapshot(term: 2, index: 16))
        let valid = try store.loadNewest { $0.index == LogIndex(5) }
        #expect(valid.snapshot == snapshot(term: 1, index: 5) && valid.broken.isEmpty)
        #expect(try disk.list("/snap").count == 3)
    }

    @Test("A failed save leaves no file", arguments: [Fault.Operation.write, .sync])
    func failedSave(operation: Fault.Operation) throws {
        let disk = try makeDisk()
        disk.inject(Fault(operation, .fail(.noSpace)))
        #expect(throws: SnapshotError.self) { try snapshotter(disk, "/snap").save(snapshot(term: 1, index: 2)) }
        #expect(try disk.list("/snap") == [])
    }

    @Test("After a crash at each sync a saved snapshot is there, and a half-written one is no obstacle")
    func crash() throws {
        for stop in 2...9 {
            let disk = try makeDisk()
            disk.stop(atSync: stop)
            var saved: UInt64 = 0
            for index in 1...4 as ClosedRange<UInt64> {
                guard (try? snapshotter(disk, "/snap").save(snapshot(term: 1, index: index, bytes: 3000))) != nil else {
                    break
                }
                saved = index
            }
            for policy in CrashPolicy.all(seeds: 1...5) {
                let store = snapshotter(disk.crash(policy), "/snap")
                let found = try store.loadNewest().snapshot
                #expect((found?.metadata.index.rawValue ?? 0) >= saved, "sync \(stop), \(policy)")
                if let found { #expect(found == snapshot(term: 1, index: found.metadata.index.rawValue, bytes: 3000)) }
            }
        }
    }

    @Test("Damage at any place is noticed", arguments: 1...200 as ClosedRange<UInt64>)
    func damage(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let disk = try makeDisk()
        let store = snapshotter(disk, "/snap")
        try store.save(snapshot(term: 1, index: 1))
        try store.save(snapshot(term: 1, index: 2))
        let path = "/snap/" + (try store.list()[0])
        let at = Int64(random.next(below: Int(try disk.open(path, .read).size())))
        if random.chance(1, in: 2) {
            try disk.flipBit(random.next(below: 8), at: at, of: path)
        } else {
            try disk.open(path, .readWrite).truncate(to: at)
        }
        let (found, broken) = try store.loadNewest()
        #expect(found == snapshot(term: 1, index: 1) && broken.count == 1, "seed \(seed) at \(at)")
    }

    // MARK: Upkeep

    @Test("Purging keeps the newest of each kind; leftovers and useless databases go; the rest stays")
    func upkeep() throws {
        let disk = try makeDisk()
        let store = snapshotter(disk, "/snap")
        for index in 1...4 as ClosedRange<UInt64> {
            try store.save(snapshot(term: 1, index: index))
            _ = try disk.open(store.databasePath(LogIndex(index)), .create)
        }
        for name in ["db", "tmp123", "db.tmp.1", "x.snap.broken", "zz.snap.db"] {
            _ = try disk.open("/snap/\(name)", .create)
        }
        #expect(try store.removeTemporaryFiles() == ["/snap/db.tmp.1", "/snap/tmp123"])
        #expect(
            try store.releaseSnapDBs(below: LogIndex(3))
                == ["/snap/0000000000000001.snap.db", "/snap/0000000000000002.snap.db"])
        #expect(try store.purge(keeping: 0) == [])
        #expect(
            try store.purge(keeping: 2) == [
                "/snap/0000000000000001-0000000000000001.snap", "/snap/0000000000000001-0000000000000002.snap",
                "/snap/0000000000000003.snap.db",
            ])
        #expect(
            try disk.list("/snap") == [
                "0000000000000001-0000000000000003.snap", "0000000000000001-0000000000000004.snap",
                "0000000000000004.snap.db", "db", "x.snap.broken", "zz.snap.db",
            ])
    }
}
