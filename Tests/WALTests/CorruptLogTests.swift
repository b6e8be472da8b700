import Base
import Foundation
import Platform
import PlatformLinux
import RaftCore
import TestSupport
import Testing
import WAL

/// The damaged golden logs, which etcd itself was shown: `corrupt/outcomes.json`.
@Suite("Damaged golden logs") struct CorruptLogTests {
    private let disk = LinuxDisk()
    private let name = "0000000000000000-0000000000000000.wal"

    private struct Damage {
        var archive: FixtureArchive
        var values: [String: Int]
        var directory: String { archive.path + "/member/wal" }
    }

    private func damage(_ version: String, _ name: String) throws -> Damage? {
        guard let archive = try FixtureArchive("etcd-\(version)/corrupt/\(name).tar.gz"),
            let fixtures = PackageFiles.fixtures(for: "outcomes")
        else { return nil }
        let data = try Data(contentsOf: URL(fileURLWithPath: "\(fixtures)/etcd-\(version)/corrupt/outcomes.json"))
        let all = try #require(try JSONSerialization.jsonObject(with: data) as? [String: [String: Any]])
        let values = try #require(all[name]?["damage"] as? [String: Any])
        return Damage(archive: archive, values: values.compactMapValues { $0 as? Int })
    }

    private func open(_ directory: String) throws -> (log: WriteAheadLog, contents: WALContents) {
        try WriteAheadLog.open(on: disk, clock: LinuxClock(), directory: directory, at: WALSnapshot())
    }

    @Test(
        "A torn end is found, cut off once with a copy, and the log goes on",
        arguments: ["3.5.1", "3.7.1"], ["torn-sector", "torn-truncated"])
    func torn(version: String, name: String) throws {
        guard let damage = try damage(version, name) else { return }
        let offset = Int64(try #require(damage.values["record_offset"]))
        let firstLost = LogIndex(UInt64(try #require(damage.values["entry_index"])))
        let file = damage.directory + "/" + self.name
        let size = try disk.open(file, .read).size()
        #expect(try !WriteAheadLog.validSnapshots(on: disk, directory: damage.directory).isEmpty)
        #expect {
            _ = try open(damage.directory)
        } throws: { error in
            guard case .unexpectedEnd(_, offset, _, _, isTail: true)? = error as? WALError else { return false }
            return (error as? WALError)?.isRepairable == true && "\(error)".hasPrefix("unexpected EOF")
        }
        let repair = try #require(try WriteAheadLog.repair(on: disk, directory: damage.directory))
        #expect(repair.file == file && repair.copy == file + ".broken")
        #expect(repair.offset == offset && repair.removedBytes == size - offset)
        #expect(try disk.open(file + ".broken", .read).size() == size)
        #expect(try disk.open(file, .read).size() == offset)
        let (log, contents) = try open(damage.directory)
        #expect(contents.entries.last?.index == firstLost.previous())
        try log.save(
            hardState: nil, entries: [Entry(term: contents.hardState.term, index: firstLost)], sync: true)
        try log.close()
        #expect(try open(damage.directory).contents.entries.last?.index == firstLost)
        #expect(try WriteAheadLog.repair(on: disk, directory: damage.directory) == nil)
    }

    @Test(
        "A flipped bit is refused with file and offset, and not repaired", arguments: ["3.5.1", "3.7.1"],
        ["crc-middle", "crc-last"])
    func flipped(version: String, name: String) throws {
        guard let damage = try damage(version, name) else { return }
        let offset = Int64(try #require(damage.values["record_offset"]))
        for attempt in [
            { _ = try open(damage.directory) },
            { _ = try WriteAheadLog.validSnapshots(on: disk, directory: damage.directory) },
            { _ = try WriteAheadLog.repair(on: disk, directory: damage.directory) },
        ] {
            #expect {
                try attempt()
            } throws: { error in
                guard case .checksumMismatch(self.name, offset, _, _)? = error as? WALError else { return false }
                return "\(error)".contains("in file '\(self.name)' at position: \(offset)")
            }
        }
        #expect(try disk.list(damage.directory) == [self.name])
    }

    @Test("Garbage behind the end does no harm, and is gone after an open", arguments: ["3.5.1", "3.7.1"])
    func garbage(version: String) throws {
        guard let damage = try damage(version, "garbage-after-end") else { return }
        let at = Int64(try #require(damage.values["garbage_at"]))
        let file = damage.directory + "/" + name
        #expect(try disk.open(file, .read).read(at: at, count: 64).contains { $0 != 0 })
        let (log, contents) = try open(damage.directory)
        #expect(try disk.open(file, .read).read(at: at, count: 64).allSatisfy { $0 == 0 })
        #expect(try disk.open(file, .read).size() == 64_000_000)
        #expect(contents.entries.last?.index == log.lastIndex)
    }
}
