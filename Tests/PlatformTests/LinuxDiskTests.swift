import Foundation
import Platform
import PlatformLinux
import Testing

@Suite("LinuxDisk") struct LinuxDiskTests {
    let disk = LinuxDisk()

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test("What is written is read back, at any offset, up to the end of the file")
    func readAndWrite() throws {
        let directory = try TemporaryDirectory()
        let file = try disk.open(directory.path + "/a", .create)
        try file.write(bytes("hello").span.bytes, at: 0)
        try file.write(bytes("world").span.bytes, at: 8)
        try file.syncData()
        try file.sync()
        #expect(try file.size() == 13)
        #expect(try file.read(at: 0, count: 100) == bytes("hello\0\0\0world"))
        #expect(try file.read(at: 8, count: 2) == bytes("wo"))
        #expect(try file.read(at: 13, count: 4) == [])
        try file.truncate(to: 3)
        #expect(try file.read(at: 0, count: 9) == bytes("hel"))
        try file.allocate(upTo: 5000)
        #expect(try file.size() == 5000)
        try file.allocate(upTo: 10)
        #expect(try file.size() == 5000)
        #expect(try disk.permissions(directory.path + "/a") == 0o600)
    }

    @Test("Open modes: who creates, who empties, who may write")
    func openModes() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/a"
        let missing = DiskError(.notFound, operation: "open", path: path)
        #expect(throws: missing) { try disk.open(path, .read) }
        #expect(throws: missing) { try disk.open(path, .readWrite) }
        #expect(missing.description == "open \(path): no such file or directory")
        try disk.open(path, .create).write(bytes("abc").span.bytes, at: 0)
        #expect(try disk.open(path, .create).size() == 3)
        #expect(throws: DiskError(.system(errno: EBADF, text: "bad file descriptor"), operation: "write", path: path)) {
            try disk.open(path, .read).write(bytes("x").span.bytes, at: 0)
        }
        #expect(try disk.open(path, .truncate).size() == 0)
        #expect(throws: DiskError(.isADirectory, operation: "open", path: directory.path)) {
            try disk.open(directory.path, .readWrite)
        }
        #expect(throws: DiskError(.notADirectory, operation: "open", path: path + "/b")) {
            try disk.open(path + "/b", .create)
        }
    }

    @Test("Directories: create, list in byte order, rename over, remove, sync")
    func directories() throws {
        let directory = try TemporaryDirectory()
        let root = directory.path + "/d"
        try disk.createDirectory(root)
        #expect(try disk.permissions(root) == 0o700)
        #expect(throws: DiskError(.exists, operation: "mkdir", path: root)) { try disk.createDirectory(root) }
        for name in ["b", "a", "é", "Z", "a0"] { _ = try disk.open("\(root)/\(name)", .create) }
        #expect(try disk.list(root) == ["Z", "a", "a0", "b", "é"])
        try disk.open(root + "/a", .readWrite).write(bytes("new").span.bytes, at: 0)
        try disk.rename(root + "/a", to: root + "/b")
        #expect(try disk.open(root + "/b", .read).read(at: 0, count: 9) == bytes("new"))
        #expect(try !disk.exists(root + "/a"))
        #expect(try disk.exists(root + "/b"))
        #expect(throws: DiskError(.directoryNotEmpty, operation: "remove", path: root)) { try disk.remove(root) }
        for name in try disk.list(root) { try disk.remove("\(root)/\(name)") }
        try disk.syncDirectory(root)
        try disk.remove(root)
        #expect(throws: DiskError(.notFound, operation: "open", path: root)) { try disk.list(root) }
        #expect(throws: DiskError(.notFound, operation: "remove", path: root)) { try disk.remove(root) }
    }

    @Test(
        "A lock belongs to one open description and ends with it", arguments: [LockKind.flock, .openFileDescription])
    func locks(kind: LockKind) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/a"
        let first = try disk.open(path, .create)
        let second = try disk.open(path, .readWrite)
        try first.lock(kind)
        try first.lock(kind)
        #expect {
            try second.lock(kind)
        } throws: {
            ($0 as? DiskError)?.reason == .locked && "\($0)".hasSuffix(": resource temporarily unavailable")
        }
        try second.lock(kind == .flock ? .openFileDescription : .flock)
        try first.close()
        try second.lock(kind)
        #expect(throws: DiskError(.closed, operation: "close", path: path)) { try first.close() }
        #expect(throws: DiskError(.closed, operation: "fstat", path: path)) { try first.size() }
    }

    @Test("A mapping keeps its address while the file grows, and outlives the file")
    func mapping() throws {
        let directory = try TemporaryDirectory()
        let file = try disk.open(directory.path + "/a", .create)
        try file.truncate(to: 4096)
        let mapping = try file.map(capacity: 1 << 30)
        #expect(mapping.capacity == 1 << 30)
        let base = mapping.base
        #expect(base.load(fromByteOffset: 4095, as: UInt8.self) == 0)
        try file.write(bytes("x").span.bytes, at: 4095)
        #expect(base.load(fromByteOffset: 4095, as: UInt8.self) == UInt8(ascii: "x"))
        try file.truncate(to: 1 << 20)
        try file.write(bytes("end").span.bytes, at: (1 << 20) - 3)
        #expect(base.load(fromByteOffset: (1 << 20) - 1, as: UInt8.self) == UInt8(ascii: "d"))
        try file.close()
        #expect(mapping.base == base)
        #expect(base.load(fromByteOffset: (1 << 20) - 3, as: UInt8.self) == UInt8(ascii: "e"))
    }

    @Test("A full device says so, and keeps its text")
    func fullDevice() throws {
        let file = try disk.open("/dev/full", .readWrite)
        let expected = DiskError(.noSpace, operation: "write", path: "/dev/full")
        #expect(throws: expected) { try file.write(bytes("x").span.bytes, at: 0) }
        #expect(expected.description == "write /dev/full: no space left on device")
    }

    @Test("Clock and entropy move")
    func clock() {
        let clock = LinuxClock()
        let first = clock.now()
        #expect(clock.now() >= first)
        #expect(clock.unixMilliseconds() > 1_600_000_000_000)
        #expect(Set((0..<8).map { _ in LinuxEntropy().random() }).count == 8)
    }

    @Test("The process knows its own size, times and limits")
    func processStatistics() throws {
        let before = ProcessStatistics.current()
        #expect(before.residentBytes > 1 << 20)
        #expect(before.virtualBytes >= before.residentBytes)
        #expect(before.openDescriptors >= 3)
        #expect(before.descriptorLimit >= UInt64(before.openDescriptors))
        let now = Date().timeIntervalSince1970
        #expect(before.startTime < now + 1 && before.startTime > now - 86_400)
        #expect(before.cpuSeconds > 0)
    }
}
