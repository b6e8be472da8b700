import Bolt
import Foundation
import PlatformLinux
import PlatformSim
import TestSupport
import Testing

/// Copies of a version, taken while commits go on.
@Suite struct ImageTests {
    /// Commits random changes to a database and to a model of it.
    private struct Writer {
        let database: Database
        var workload: Workload
        var model = Model()

        init(_ database: Database, seed: UInt64) {
            self.database = database
            workload = Workload(seed: seed)
        }

        mutating func commit() throws {
            let tx = try database.beginWrite()
            try workload.transaction(tx, &model, steps: 30)
            try tx.commit()
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func copyOfAnOldVersion(seed: UInt64) throws {
        let disk = SimDisk()
        let database = try Database.open("db", on: disk, options: smallOptions(pageSize: 2048))
        var writer = Writer(database, seed: seed)
        for _ in 0..<6 { try writer.commit() }
        let copy = try database.beginCopy(named: "first")
        let second = try database.beginCopy(named: "second")
        let kept = writer.model
        var image: [UInt8] = []
        while Int64(image.count) < copy.size {
            image += try copy.read(at: Int64(image.count), count: 10_007)
            if image.count % 3 == 0 { try writer.commit() }
        }
        for _ in 0..<3 { try writer.commit() }
        #expect(Int64(image.count) == copy.size)
        #expect(try copy.read(at: copy.size, count: 10) == [])
        // The form that reads into memory of the caller's gives the same, behind what that holds already.
        for (offset, count) in [(0, 1), (100, 5000), (2048, 2048), (3000, 40_000), (image.count - 10, 100)] {
            var bytes: [UInt8] = [1, 2, 3]
            try bytes.append(addingCapacity: count) { output in
                try output.withUnsafeMutableBufferPointer { buffer, initialized in
                    var raw = OutputRawSpan(
                        buffer: UnsafeMutableRawBufferPointer(buffer), initializedCount: initialized)
                    try copy.read(at: Int64(offset), count: count, into: &raw)
                    initialized = raw.finalize(for: UnsafeMutableRawBufferPointer(buffer))
                }
            }
            #expect(bytes == [1, 2, 3] + image[offset..<min(offset + count, image.count)], "\(offset)+\(count)")
        }
        // Whatever has been written to free pages since, every copy of a version is the same.
        #expect(try second.read(at: 0, count: Int(second.size)) == image)
        #expect(database.readers.map(\.name) == ["first", "second"])
        copy.close()
        second.close()
        #expect(throws: BoltError.transactionEnded) { _ = try copy.read(at: 0, count: 1) }

        try disk.install(image, at: "copy")
        let opened = try Database.open("copy", on: disk, options: smallOptions())
        #expect(opened.notice == nil)
        #expect(try Model(opened) == kept)
        #expect(try opened.check() == [])
        #expect(opened.statistics.transactionID == copy.transactionID)
        // What the version does not use is zeros.
        let inUse = Int(opened.statistics.bytesInUse) / 2048
        let pages = image.count / 2048
        let empty = (0..<pages).count { image[$0 * 2048..<($0 + 1) * 2048].allSatisfy { $0 == 0 } }
        #expect(empty >= pages - inUse && pages > inUse)
    }

    /// `etcdutl` takes a copy as a snapshot: the file alone, and followed by its SHA-256 as the service sends it.
    @Test func etcdutlRestoresACopy() async throws {
        guard let etcdutl = Programs.etcdutl(for: "etcdutl on a copy") else { return }
        let directory = try PackageFiles.temporaryDirectory("image")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let database = try Database.open("\(directory)/db", on: LinuxDisk())
        for batch in 0..<8 {
            let tx = try database.beginWrite()
            // Restoring rewrites the buckets of members, and needs them.
            for name in ["cluster", "key", "members", "members_removed", "meta"] {
                try tx.createBucketIfMissing(bytes(name))
            }
            var run = SortedRun()
            for i in 0..<500 { run.append(key: rowKey(2 + batch * 500 + i), value: row(i)) }
            try tx.putSorted(run, in: bytes("key"))
            if batch == 6 {
                run.removeAll()
                for i in 0..<2000 { run.append(key: rowKey(2 + i)) }
                try tx.deleteSorted(run, in: bytes("key"))
            }
            try tx.put(bytes("consistent_index"), [UInt8](repeating: 0, count: 7) + [9], in: bytes("meta"))
            try tx.put(bytes("term"), [UInt8](repeating: 0, count: 7) + [1], in: bytes("meta"))
            try tx.commit()
        }
        let copy = try database.beginCopy()
        let path = "\(directory)/snapshot"
        var image: [UInt8] = []
        while Int64(image.count) < copy.size { image += try copy.read(at: Int64(image.count), count: 1 << 16) }
        try Data(image).write(to: URL(fileURLWithPath: path))

        let status = try await Subprocess.run(etcdutl, ["snapshot", "status", "-w", "json", path])
        #expect(status.status == 0, "\(status.errorText)")
        #expect(status.text.contains("\"totalKey\":2002"), "\(status.text)")
        let plain = try await Subprocess.run(
            etcdutl, ["snapshot", "restore", path, "--skip-hash-check", "--data-dir", "\(directory)/plain"])
        #expect(plain.status == 0, "\(plain.errorText)")

        let sum = try await Subprocess.run("/usr/bin/env", ["sha256sum", path])
        let digest = Hex.bytes(String(sum.text.prefix(64)))
        try Data(image + digest).write(to: URL(fileURLWithPath: path))
        let summed = try await Subprocess.run(
            etcdutl, ["snapshot", "restore", path, "--data-dir", "\(directory)/summed"])
        #expect(summed.status == 0, "\(summed.errorText)")
        let restored = try Database.open("\(directory)/summed/member/snap/db", on: LinuxDisk())
        let read = try restored.beginRead()
        #expect(try read.bucket(bytes("key"))?.get(rowKey(4001)) == row(499))
        #expect(try restored.check() == [])
    }

    private func rowKey(_ main: Int) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: main >> (56 - 8 * $0)) } + [0x5F] + [UInt8](repeating: 0, count: 8)
    }

    /// An encoded key-value pair with nothing but a key.
    private func row(_ i: Int) -> [UInt8] { [0x0A, 100] + [UInt8](repeating: UInt8(i & 63) + 32, count: 100) }
}
