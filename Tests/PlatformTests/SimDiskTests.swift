import Base
import Platform
import PlatformLinux
import PlatformSim
import Synchronization
import Testing

@Suite("SimDisk") struct SimDiskTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func text(_ disk: SimDisk, _ path: String) -> String? {
        (try? disk.contents(of: path)).map { String(decoding: $0, as: UTF8.self) }
    }

    /// A durable empty directory `/d`.
    private func makeDisk() throws -> SimDisk {
        let disk = SimDisk()
        try disk.createDirectory("/d")
        try disk.syncDirectory("/")
        return disk
    }

    @Test("Behaves as the kernel's disk does, call by call, seed by seed", arguments: 1...20 as ClosedRange<UInt64>)
    func sameAsLinux(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        let disks: [(disk: any Disk, root: String)] = [(LinuxDisk(), directory.path), (SimDisk(), "")]
        var random = SeededGenerator(seed: seed)
        var files: [[any DiskFile]] = []
        for step in 0..<200 {
            let name = ["/a", "/b", "/c", "/c/x", "/c/y", "/a/z"][random.next(below: 6)]
            let other = ["/a", "/b", "/c", "/c/x", "/d"][random.next(below: 5)]
            let offset = Int64(random.next(below: 10_000))
            let data = (0..<random.next(below: 6000)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let mode = [OpenMode.read, .readWrite, .create, .truncate][random.next(below: 4)]
            let choice = random.next(below: 12)
            let file = files.isEmpty ? nil : random.next(below: files.count)
            var opened: [any DiskFile] = []
            let outcomes = disks.indices.map { i in
                let (disk, root) = disks[i]
                return outcome {
                    switch choice {
                    case 0, 1: opened.append(try disk.open(root + name, mode))
                    case 2: try disk.createDirectory(root + name)
                    case 3: try disk.rename(root + name, to: root + other)
                    case 4: try disk.remove(root + name)
                    case 5: return try disk.list(root + name).joined(separator: " ")
                    default:
                        guard let file else { break }
                        return try use(files[file][i], choice, data, offset)
                    }
                    return "done"
                }
            }
            #expect(outcomes[0] == outcomes[1], "seed \(seed) step \(step) choice \(choice) \(name) \(other)")
            if opened.count == 2 { files.append(opened) }
        }
        for pair in files {
            #expect(try pair[0].read(at: 0, count: 20_000) == pair[1].read(at: 0, count: 20_000), "seed \(seed)")
        }
    }

    private func outcome(_ call: () throws -> String) -> String {
        do { return try call() } catch let error as DiskError {
            return "\(error.operation): \(error.reason)"
        } catch { return "\(error)" }
    }

    private func use(_ file: any DiskFile, _ choice: Int, _ data: [UInt8], _ offset: Int64) throws -> String {
        switch choice {
        case 6...8: try file.write(data.span.bytes, at: offset)
        // A descriptor without write access gives these two different errors, by file system.
        case 9: return (try? file.truncate(to: offset)) == nil ? "refused" : "cut"
        case 10: return (try? file.allocate(upTo: offset + 1)) == nil ? "refused" : "grown"
        default: return "\(try file.size()) \(CRC32C.checksum(try file.read(at: offset, count: 9000)))"
        }
        return "done"
    }

    @Test("What no sync covered is lost or kept as the policy says; what one covered is there")
    func syncedAndUnsynced() throws {
        let disk = try makeDisk()
        let file = try disk.open("/d/a", .create)
        try file.write(bytes("synced").span.bytes, at: 0)
        try file.syncData()
        #expect(text(disk.crash(.loseUnsynced), "/d/a") == nil)
        #expect(text(disk.crash(.keepUnsynced), "/d/a") == "synced")
        try disk.syncDirectory("/d")
        try file.write(bytes("+more").span.bytes, at: 6)
        #expect(text(disk.crash(.loseUnsynced), "/d/a") == "synced")
        #expect(text(disk.crash(.keepUnsynced), "/d/a") == "synced+more")
        #expect(text(disk, "/d/a") == "synced+more")
        try file.truncate(to: 2)
        #expect(text(disk.crash(.loseUnsynced), "/d/a") == "synced")
        #expect(text(disk.crash(.keepUnsynced), "/d/a") == "sy")
        try file.sync()
        #expect(text(disk.crash(.loseUnsynced), "/d/a") == "sy")
    }

    @Test("A rename is all or nothing, and durable only with its directory")
    func renames() throws {
        let disk = try makeDisk()
        for (name, content) in [("/d/old", "old"), ("/d/new", "new")] {
            let file = try disk.open(name, .create)
            try file.write(bytes(content).span.bytes, at: 0)
            try file.syncData()
        }
        try disk.syncDirectory("/d")
        try disk.rename("/d/new", to: "/d/old")
        #expect(text(disk.crash(.loseUnsynced), "/d/old") == "old")
        var seen: Set<[String]> = []
        for policy in CrashPolicy.all(seeds: 1...20) {
            let image = disk.crash(policy)
            let names = try image.list("/d")
            seen.insert(names)
            #expect(text(image, "/d/old") == (names == ["old"] ? "new" : "old"), "\(policy)")
        }
        #expect(seen == [["old"], ["new", "old"]])
        try disk.syncDirectory("/d")
        #expect(try disk.crash(.loseUnsynced).list("/d") == ["old"])
        #expect(text(disk.crash(.loseUnsynced), "/d/old") == "new")
        try disk.remove("/d/old")
        #expect(text(disk.crash(.loseUnsynced), "/d/old") == "new")
        #expect(text(disk.crash(.keepUnsynced), "/d/old") == nil)
    }

    @Test("Unsynced writes survive in either order and torn only between sectors")
    func partialPolicies() throws {
        let disk = try makeDisk()
        let file = try disk.open("/d/a", .create)
        try file.write([UInt8](repeating: 0, count: 2048).span.bytes, at: 0)
        try file.syncData()
        try disk.syncDirectory("/d")
        try file.write([UInt8](repeating: 1, count: 1024).span.bytes, at: 0)
        try file.write([UInt8](repeating: 2, count: 1024).span.bytes, at: 1024)
        var firstAlone = false
        var secondAlone = false
        var torn = false
        for policy in CrashPolicy.all(seeds: 1...40) {
            let content = try disk.crash(policy).contents(of: "/d/a")
            let sectors = stride(from: 0, to: 2048, by: 512).map { Array(content[$0..<($0 + 512)]) }
            for (i, sector) in sectors.enumerated() {
                #expect(Set(sector).count == 1 && [0, i < 2 ? 1 : 2].contains(sector[0]), "\(policy)")
            }
            let marks = sectors.map { $0[0] }
            firstAlone = firstAlone || marks == [1, 1, 0, 0]
            secondAlone = secondAlone || marks == [0, 0, 2, 2]
            torn = torn || (marks[0] != marks[1])
            #expect(try disk.crash(policy).contents(of: "/d/a") == content, "same policy, same image: \(policy)")
        }
        #expect(firstAlone && secondAlone && torn)
    }

    @Test("The n-th sync and everything after it fails, and has done nothing")
    func stopAtSync() throws {
        let disk = try makeDisk()
        #expect(disk.syncCount == 1)
        disk.stop(atSync: 3)
        let file = try disk.open("/d/a", .create)
        try file.write(bytes("1").span.bytes, at: 0)
        try file.syncData()
        try file.write(bytes("2").span.bytes, at: 1)
        let stopped = DiskError(.stopped, operation: "fsync", path: "/d")
        #expect(throws: stopped) { try disk.syncDirectory("/d") }
        #expect(throws: DiskError(.stopped, operation: "write", path: "/d/a")) {
            try file.write(bytes("3").span.bytes, at: 2)
        }
        #expect(throws: DiskError(.stopped, operation: "open", path: "/d/a")) { try disk.open("/d/a", .read) }
        #expect(try disk.crash(.loseUnsynced).list("/d") == [])
        #expect(text(disk.crash(.keepUnsynced), "/d/a") == "12")
    }

    @Test("Injected faults hit the calls that they name, as often as they say")
    func faults() throws {
        let stalls = Mutex<[Duration]>([])
        let disk = SimDisk(onStall: { stall in stalls.withLock { $0.append(stall) } })
        let file = try disk.open("/a", .create)
        disk.inject(Fault(.write, path: "/a", after: 1, .failAfter(bytes: 2, .noSpace)))
        disk.inject(Fault(.sync, times: 2, .fail(.io)))
        disk.inject(Fault(.sync, .stall(.seconds(3))))
        disk.inject(Fault(.read, path: "/b", .fail(.io)))
        disk.inject(Fault(.read, path: "/a", .shortRead(count: 1)))
        try file.write(bytes("ab").span.bytes, at: 0)
        #expect(throws: DiskError(.noSpace, operation: "write", path: "/a")) {
            try file.write(bytes("cdef").span.bytes, at: 2)
        }
        try file.write(bytes("x").span.bytes, at: 4)
        for _ in 0..<2 {
            #expect(throws: DiskError(.io, operation: "fdatasync", path: "/a")) { try file.syncData() }
        }
        try file.syncData()
        #expect(stalls.withLock { $0 } == [.seconds(3)])
        #expect(try file.read(at: 0, count: 9) == bytes("a"))
        #expect(try file.read(at: 0, count: 9) == bytes("abcdx"))
        try disk.flipBit(1, at: 0, of: "/a")
        #expect(text(disk, "/a") == "cbcdx")
    }

    @Test("A mapping shows the latest writes at one address, whatever its capacity")
    func mapping() throws {
        let disk = SimDisk()
        let file = try disk.open("/a", .create)
        try file.write(bytes("abc").span.bytes, at: 5000)
        let mapping = try file.map(capacity: 1 << 30)
        let base = mapping.base
        #expect(base.load(fromByteOffset: 5001, as: UInt8.self) == UInt8(ascii: "b"))
        try file.write(bytes("xyz").span.bytes, at: 1 << 20)
        #expect(base.load(fromByteOffset: (1 << 20) + 2, as: UInt8.self) == UInt8(ascii: "z"))
        try file.truncate(to: 5001)
        try file.truncate(to: 9000)
        #expect(base.load(fromByteOffset: 5000, as: UInt8.self) == UInt8(ascii: "a"))
        #expect(base.load(fromByteOffset: 5001, as: UInt8.self) == 0)
        try file.close()
        #expect(mapping.base == base)
    }

    @Test("Locks of the two kinds do not see each other, and end with their description")
    func locks() throws {
        let disk = SimDisk()
        let first = try disk.open("/a", .create)
        let second = try disk.open("/a", .readWrite)
        try first.lock(.openFileDescription)
        try first.lock(.openFileDescription)
        try second.lock(.flock)
        #expect(throws: DiskError(.locked, operation: "fcntl", path: "/a")) { try second.lock(.openFileDescription) }
        try first.close()
        try second.lock(.openFileDescription)
    }
}
