import EtcdProto
import Foundation
import TestSupport
import Testing

/// Every broken golden directory through Martlet's program: it starts where etcd starts (and where the rest of the
/// directory has all that is missing), refuses elsewhere with a line that says what, where and what to do, and leaves
/// the directory as it was.
@Suite(.serialized) struct DamagedDirectoryTests {
    enum Outcome: Sendable {
        /// It starts; the log says these things.
        case starts([String])
        /// It ends with code 1, and the last line says these things.
        case refuses([String])
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var archive: String
        var outcome: Outcome
        /// What is done to the unpacked directory first.
        var damage: (@Sendable (String) throws -> Void)?
        var name: String
        var testDescription: String { name }

        init(
            _ archive: String, _ outcome: Outcome, name: String? = nil,
            damage: (@Sendable (String) throws -> Void)? = nil
        ) {
            self.archive = archive
            self.outcome = outcome
            self.damage = damage
            self.name = name ?? archive
        }
    }

    private static let firstSegment = "0000000000000000-0000000000000000.wal"

    static let corrupt: [Case] = ["3.5.1", "3.7.1"].flatMap { version in
        let folder = "etcd-\(version)/corrupt/"
        return [
            Case(folder + "torn-sector", .starts(["repairing WAL", "repaired WAL", firstSegment + ".broken"])),
            Case(folder + "torn-truncated", .starts(["repairing WAL", "repaired WAL", firstSegment + ".broken"])),
            Case(folder + "garbage-after-end", .starts([])),
            Case(
                folder + "crc-middle",
                .refuses(["crc mismatch: expected: ", "computed: ", firstSegment, "at position: ", "replace"])),
            Case(
                folder + "crc-last",
                .refuses(["crc mismatch: expected: ", "computed: ", firstSegment, "at position: ", "replace"])),
            Case(folder + "snap-bitflip", .starts(["renamed to a broken snap file", "crc mismatch", ".snap.broken"])),
            Case(folder + "snap-empty", .starts(["renamed to a broken snap file", "empty snapshot", ".snap.broken"])),
            Case(folder + "snap-missing", .starts([])),
            // etcd panics; but the log still holds what the older meta page does not know.
            Case(folder + "db-newer-meta", .starts(["the backend is behind the last snapshot"])),
            Case(
                folder + "db-both-metas",
                .refuses(["failed to open database", "checksum", "member/snap/db", "restore"])),
            Case(folder + "db-missing", .refuses(["database file", "is missing", "member/snap/db", "restore"])),
        ]
    }

    /// Damages that the golden ones lack.
    static let others: [Case] = [
        Case(
            // As with etcd: nothing in front of the last snapshot is needed any more.
            "etcd-3.5.1/walcut", .starts([]), name: "a gap in front of what is needed",
            damage: { directory in
                let wal = directory + "/member/wal"
                let names = try FileManager.default.contentsOfDirectory(atPath: wal).filter { $0.hasSuffix(".wal") }
                    .sorted()
                let last = wal + "/" + names[1]
                try FileManager.default.moveItem(
                    atPath: last, toPath: last.replacingOccurrences(of: "0000000000000001-", with: "0000000000000002-"))
            }),
        Case(
            "etcd-3.5.1/walcut", .refuses(["member/snap/db", "ends at", "start from a snapshot"]),
            name: "the last segment missing",
            damage: { directory in
                let wal = directory + "/member/wal"
                let names = try FileManager.default.contentsOfDirectory(atPath: wal).filter { $0.hasSuffix(".wal") }
                    .sorted()
                try FileManager.default.removeItem(atPath: wal + "/" + names[1])
            }),
        Case(
            "etcd-3.5.1/walcut", .refuses(["conflicting metadata", "0000000000000000-", "position"]),
            name: "a segment of another member",
            damage: { directory in
                guard let other = try FixtureArchive("etcd-3.6.14/walcut.tar.gz") else { return }
                let names = try [directory, other.path].map { directory in
                    try FileManager.default.contentsOfDirectory(atPath: directory + "/member/wal")
                        .filter { $0.hasPrefix("0000000000000001-") }.map { directory + "/member/wal/" + $0 }[0]
                }
                try FileManager.default.removeItem(atPath: names[0])
                try FileManager.default.copyItem(atPath: names[1], toPath: names[0])
            }),
        Case(
            "etcd-3.7.1/single",
            .refuses(["invalid downgrade", "3.8.0", "3.7.1", "nothing in", "has been changed"]),
            name: "a cluster of a newer version",
            damage: { directory in try replace("clusterVersion3.7.0", "clusterVersion3.8.0", directory) }),
        Case(
            "etcd-3.7.1/single", .refuses(["version \"3.8.0\" is not supported", "nothing in", "has been changed"]),
            name: "a storage of a newer version",
            damage: { directory in try replace("storageVersion3.7.0", "storageVersion3.8.0", directory) }),
    ]

    private static func replace(_ old: String, _ new: String, _ directory: String) throws {
        let url = URL(fileURLWithPath: directory + "/member/snap/db")
        var bytes = try Data(contentsOf: url)
        var found = 0
        while let range = bytes.range(of: Data(old.utf8)) {
            bytes.replaceSubrange(range, with: Data(new.utf8))
            found += 1
        }
        #expect(found > 0, "no \(old) in the database")
        try bytes.write(to: url)
    }

    /// Names, lengths and contents of all files.
    private func contents(of directory: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        let names = FileManager.default.enumerator(atPath: directory)
        while let name = names?.nextObject() as? String {
            let path = directory + "/" + name
            var isDirectory: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
            files[name] = isDirectory.boolValue ? Data() : try Data(contentsOf: URL(fileURLWithPath: path))
        }
        return files
    }

    @Test(arguments: corrupt + others) func damagedDirectory(_ test: Case) async throws {
        guard let martlet = Programs.martlet(for: test.name), let fixture = try FixtureArchive(test.archive + ".tar.gz")
        else { return }
        print("ran: \(test.name)")
        // The corrupt archives unpack to the directory that they were made from.
        let data = try directory(fixture)
        try test.damage?(data)
        let before = try contents(of: data)
        switch test.outcome {
        case .starts(let texts):
            let server = try await ServerProcess.start(martlet, .init(dataDirectory: data))
            let log = server.log
            for text in texts { #expect(log.contains(text), "no \(text) in \(log)") }
            await server.stop()
            let again = try await ServerProcess.start(martlet, .init(dataDirectory: data))
            #expect(!again.log.contains("\"level\":\"warn\",\"msg\":\"repairing WAL\""), "\(again.log)")
            await again.stop()
        case .refuses(let texts):
            do {
                let server = try await ServerProcess.start(martlet, .init(dataDirectory: data))
                await server.crash()
                Issue.record("started")
                return
            } catch let failure as ServerProcess.NotReady {
                let end = try #require(failure.end)
                #expect(!end.signalled && end.status == 1, "\(failure)")
                let line = failure.log.split(separator: "\n").last.map(String.init) ?? ""
                for text in texts {
                    let text = text.replacingOccurrences(of: "\"", with: "\\\"")
                    #expect(line.contains(text), "no \(text) in \(line)")
                }
            }
            #expect(try contents(of: data) == before, "the directory was touched")
        }
    }

    private func directory(_ fixture: FixtureArchive) throws -> String {
        if FileManager.default.fileExists(atPath: fixture.path + "/member") { return fixture.path }
        let parent = URL(fileURLWithPath: fixture.path).deletingLastPathComponent().path
        let names = try FileManager.default.contentsOfDirectory(atPath: parent)
        let found = names.first { FileManager.default.fileExists(atPath: "\(parent)/\($0)/member") }
        return "\(parent)/\(try #require(found))"
    }
}
