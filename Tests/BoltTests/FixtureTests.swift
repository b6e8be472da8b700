import Base
import Bolt
import Foundation
import PlatformLinux
import TestSupport
import Testing

/// Files that released etcd servers wrote, compared with dumps of another decoder.
@Suite struct FixtureTests {
    static let archives: [(version: String, archive: String, databases: [String])] =
        ["etcd-3.4.23", "etcd-3.5.1", "etcd-3.6.14", "etcd-3.7.1"].flatMap { version in
            [
                (version, "single", ["single"]), (version, "crash", ["crash"]), (version, "restored", ["restored"]),
                (version, "cluster", ["cluster/m1", "cluster/m2", "cluster/m3", "cluster/m4"]),
            ]
        }

    struct Dump: Decodable {
        struct Meta: Decodable {
            var txid: UInt64
            var pgid: Int64
        }
        struct Bucket: Decodable {
            var root: UInt64
            var sequence: UInt64
            var inline: Bool
            var items: [[Value]]
        }
        enum Value: Decodable {
            case hex(String)
            case long(count: Int, crc: UInt32)

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let text = try? container.decode(String.self) {
                    self = .hex(text)
                    return
                }
                let long = try container.decode(Long.self)
                self = .long(count: long.len, crc: try #require(UInt32(long.crc32c, radix: 16)))
            }
            private struct Long: Decodable {
                var len: Int
                var crc32c: String
            }
            func matches(_ bytes: [UInt8]) -> Bool {
                switch self {
                case .hex(let text): text == Hex.text(bytes)
                case .long(let count, let crc): bytes.count == count && CRC32C.checksum(bytes) == crc
                }
            }
        }
        var metas: [Meta]
        var buckets: [String: Bucket]
    }

    @Test(arguments: archives.indices)
    func matchesTheDump(index: Int) async throws {
        let (version, archive, databases) = Self.archives[index]
        guard let fixtures = PackageFiles.fixtures(for: "\(version) \(archive) databases") else { return }
        let directory = try PackageFiles.temporaryDirectory("bolt")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let files = databases.map { "\($0)/member/snap/db" }
        let tar = try await Subprocess.run(
            "/usr/bin/tar", ["xzf", "\(fixtures)/\(version)/\(archive).tar.gz", "-C", directory] + files)
        try #require(tar.status == 0, "\(tar.errorText)")
        for name in databases {
            let dump = "\(fixtures)/\(version)/\(name.replacingOccurrences(of: "/", with: ".")).db.json.gz"
            let json = try await Subprocess.run("/usr/bin/gzip", ["-dc", dump])
            let expected = try JSONDecoder().decode(Dump.self, from: Data(json.output))
            try compare("\(directory)/\(name)/member/snap/db", expected, "\(version) \(name)")
        }
    }

    private func compare(_ path: String, _ expected: Dump, _ context: String) throws {
        let disk = LinuxDisk()
        let database = try Database.open(path, on: disk)
        #expect(try database.check() == [], "\(context)")
        let newest = expected.metas.map(\.txid).max()
        let read = try database.beginRead()
        #expect(read.transactionID == newest, "\(context)")
        #expect(read.size == (expected.metas.first { $0.txid == newest }?.pgid ?? 0) * 4096, "\(context)")
        #expect(try read.bucketNames().map { String(decoding: $0, as: UTF8.self) } == expected.buckets.keys.sorted())
        for (name, dump) in expected.buckets.sorted(by: { $0.key < $1.key }) {
            let found = try read.bucket(Array(name.utf8))
            let bucket = try #require(found)
            #expect(bucket.isInline == dump.inline && bucket.sequence == dump.sequence, "\(context) \(name)")
            #expect(bucket.rootPage == dump.root, "\(context) \(name)")
            var cursor = bucket.cursor()
            var more = try cursor.first()
            var index = 0
            while more, index < dump.items.count {
                let item = dump.items[index]
                #expect(
                    item[0].matches(cursor.key) && item[1].matches(cursor.value), "\(context) \(name), item \(index)")
                #expect(try bucket.get(cursor.key) == cursor.value)
                index += 1
                more = try cursor.next()
            }
            #expect(!more && index == dump.items.count, "\(context) \(name)")
        }
        read.close()
        // The file goes on with us: a commit later everything is still there.
        let before = try Model(database)
        let tx = try database.beginWrite()
        try tx.createBucketIfMissing(Array("martlet".utf8)).put([1], [2])
        try tx.commit()
        #expect(try database.check() == [], "\(context)")
        var after = try Model(database)
        after.buckets[Array("martlet".utf8)] = nil
        #expect(after == before, "\(context)")
    }
}
