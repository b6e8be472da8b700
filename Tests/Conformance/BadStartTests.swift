import Base
import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

/// Starts that must fail, with a line that says why, an exit code and no trap, and without harm to the data.
@Suite(.serialized) struct BadStartTests {
    /// Starts a server that must not become ready, and tells how it ended.
    private func failedStart(
        _ program: ServerProgram, _ options: ServerProcess.Options
    ) async throws -> ServerProcess.NotReady? {
        do {
            let server = try await ServerProcess.start(program, options)
            await server.crash()
            Issue.record("\(program) started")
            return nil
        } catch let failure as ServerProcess.NotReady {
            return failure
        }
    }

    private func expectRefusal(
        _ program: ServerProgram, _ options: ServerProcess.Options, saying texts: [String]
    ) async throws {
        guard let failure = try await failedStart(program, options) else { return }
        let end = try #require(failure.end, "\(failure)")
        #expect(!end.signalled, "\(failure)")
        #expect(end.status == 1, "\(failure)")
        #expect(texts.contains { failure.log.contains($0) }, "none of \(texts) in: \(failure)")
    }

    /// A data directory with the keys a = 1 and b = 2, left by a kill or an orderly end.
    private func dataDirectory(_ program: ServerProgram, in directory: String, killed: Bool) async throws -> String {
        let data = directory + "/data"
        let server = try await ServerProcess.start(program, ServerProcess.Options(dataDirectory: data))
        let client = try await UnaryClient.connect(to: server)
        for (key, value) in [("a", "1"), ("b", "2")] {
            let answer = try await client.call(EdgeCase.put(key, value: value))
            guard case .put = answer else { throw Unexpected(answer.text) }
        }
        await client.close()
        if killed { await server.crash() } else { await server.stop() }
        return data
    }

    struct Unexpected: Error, CustomStringConvertible {
        var description: String
        init(_ description: String) { self.description = description }
    }

    private func expectData(_ program: ServerProgram, _ data: String, _ when: String) async throws {
        let server = try await ServerProcess.start(program, ServerProcess.Options(dataDirectory: data))
        let client = try await UnaryClient.connect(to: server)
        let answer = try await client.call(EdgeCase.range("a", end: "c"))
        guard case .range(let response) = answer else { throw Unexpected("\(when): \(answer.text)") }
        #expect(response.kvs.map { String(decoding: $0.value, as: UTF8.self) } == ["1", "2"], "\(when)")
        await client.close()
        await server.stop()
    }

    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = try PackageFiles.temporaryDirectory("start")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await body(directory)
    }

    // MARK: -

    @Test func portInUse() async throws {
        guard let martlet = Programs.martlet(for: "port in use") else { return }
        try await withServer(martlet) { first in
            try await withDirectory { directory in
                var options = ServerProcess.Options(dataDirectory: directory + "/data")
                options.clientPort = first.options.clientPort
                try await expectRefusal(martlet, options, saying: ["address already in use"])
                #expect(first.isRunning)
            }
        }
    }

    @Test func secondProcessOnTheSameDirectory() async throws {
        guard let martlet = Programs.martlet(for: "second process on a data directory") else { return }
        try await withServer(martlet) { first in
            let client = try await UnaryClient.connect(to: first)
            _ = try await client.call(EdgeCase.put("a", value: "1"))
            var options = ServerProcess.Options(dataDirectory: first.options.dataDirectory)
            // etcd waits for the lock for ever; ending with a line is as good.
            options.readyWithin = .seconds(4)
            if let failure = try await failedStart(martlet, options), let end = failure.end {
                #expect(!end.signalled && end.status == 1, "\(failure)")
                #expect(failure.log.contains("lock"), "\(failure)")
            }
            #expect(first.isRunning)
            guard case .range(let response) = try await client.call(EdgeCase.range("a")) else {
                Issue.record("the first process does not answer any more")
                return
            }
            #expect(response.count == 1)
            await client.close()
        }
    }

    @Test func directoryThatIsAFile() async throws {
        guard let martlet = Programs.martlet(for: "data directory that is a file") else { return }
        try await withDirectory { directory in
            let path = directory + "/data"
            try Data("not a directory".utf8).write(to: URL(fileURLWithPath: path))
            try await expectRefusal(
                martlet, ServerProcess.Options(dataDirectory: path), saying: ["not a directory", "file exists"])
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "not a directory")
        }
    }

    @Test func readOnlyDirectory() async throws {
        guard let martlet = Programs.martlet(for: "read-only data directory") else { return }
        try await withSmallDisk(megabytes: 200, purpose: "read-only data directory") { disk in
            let data = try await dataDirectory(martlet, in: disk, killed: true)
            try await mount(["-o", "remount,ro", disk])
            try await expectRefusal(
                martlet, ServerProcess.Options(dataDirectory: data), saying: ["read-only file system"])
            try await mount(["-o", "remount,rw", disk])
            try await expectData(martlet, data, "after a start on a read-only disk")
        }
    }

    struct Damage: Sendable, CustomTestStringConvertible {
        var name: String
        /// The file to damage: the last one in the folder with this ending.
        var folder: String
        var ending: String
        var killed: Bool
        var apply: @Sendable (inout [UInt8]) -> Void
        /// What the refusal must say, one of them.
        var texts: [String]
        var testDescription: String { name }
    }

    static let damages: [Damage] = [
        Damage(
            name: "a bit flipped in the middle of the log", folder: "member/wal", ending: ".wal", killed: true,
            apply: { bytes in bytes[120] ^= 0x04 }, texts: ["crc mismatch"]),
        Damage(
            name: "both meta pages of the backend", folder: "member/snap", ending: "db", killed: false,
            apply: { bytes in
                for page in 0..<2 { for offset in 16..<80 { bytes[page * 4096 + offset] ^= 0xFF } }
            }, texts: ["db"]),
        Damage(
            name: "a backend that is no database", folder: "member/snap", ending: "db", killed: false,
            apply: { bytes in bytes = Array("This is not a database.".utf8) }, texts: ["db"]),
        Damage(
            name: "an empty log file", folder: "member/wal", ending: ".wal", killed: false,
            apply: { bytes in bytes = [] }, texts: ["wal"]),
    ]

    @Test(arguments: damages) func damagedFile(damage: Damage) async throws {
        guard let martlet = Programs.martlet(for: damage.name) else { return }
        try await withDirectory { directory in
            let data = try await dataDirectory(martlet, in: directory, killed: damage.killed)
            let folder = "\(data)/\(damage.folder)"
            let name = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
                .last { $0.hasSuffix(damage.ending) }
            let url = URL(fileURLWithPath: "\(folder)/\(try #require(name))")
            let original = try Data(contentsOf: url)
            var bytes = [UInt8](original)
            damage.apply(&bytes)
            try Data(bytes).write(to: url)
            // A crash leaves etcd with exit code 2 in some of these cases; an orderly refusal is always 1 here.
            try await expectRefusal(martlet, ServerProcess.Options(dataDirectory: data), saying: damage.texts)
            try original.write(to: url)
            try await expectData(martlet, data, "after the damage was undone")
        }
    }

    @Test func foreignFilesAreLeftAlone() async throws {
        guard let martlet = Programs.martlet(for: "foreign files in the data directory") else { return }
        try await withDirectory { directory in
            let data = try await dataDirectory(martlet, in: directory, killed: false)
            for path in ["notes.txt", "member/wal/notes.txt", "member/snap/notes.txt"] {
                try Data("mine".utf8).write(to: URL(fileURLWithPath: "\(data)/\(path)"))
            }
            try await expectData(martlet, data, "with foreign files")
            for path in ["notes.txt", "member/wal/notes.txt", "member/snap/notes.txt"] {
                #expect(try String(contentsOfFile: "\(data)/\(path)", encoding: .utf8) == "mine")
            }
        }
    }

    /// Writes until the disk is full. Whatever the member does then, nothing acknowledged is lost, it does not trap,
    /// and with room again it goes on.
    @Test func fullDisk() async throws {
        guard let martlet = Programs.martlet(for: "full disk") else { return }
        try await withSmallDisk(megabytes: 150, purpose: "full disk") { disk in
            let options = ServerProcess.Options(dataDirectory: disk + "/data")
            let server = try await ServerProcess.start(martlet, options)
            let client = try await UnaryClient.connect(to: server)
            var acknowledged = 0
            var refusal: KVAnswer?
            for number in 0..<400 where refusal == nil {
                let answer = try await client.call(EdgeCase.put("k\(number)", count: 1_000_000))
                if case .put = answer { acknowledged += 1 } else { refusal = answer }
            }
            await client.close()
            #expect(refusal != nil, "the disk never got full")
            #expect(acknowledged > 0)
            if let end = await server.waitForEnd(timeout: .seconds(5)) {
                #expect(!end.signalled, "ended with signal \(end.status): \(server.log.suffix(2000))")
                #expect(server.log.contains("no space left on device"), "\(server.log.suffix(2000))")
            }
            await server.crash()
            try await mount(["-o", "remount,size=600m", disk])
            let again = try await ServerProcess.start(martlet, options)
            let reader = try await UnaryClient.connect(to: again)
            let answer = try await reader.call(
                .range(
                    .with {
                        $0.key = Data("k".utf8)
                        $0.rangeEnd = Data("l".utf8)
                        $0.keysOnly = true
                    }))
            guard case .range(let response) = answer else { throw Unexpected(answer.text) }
            let keys = Set(response.kvs.map { String(decoding: $0.key, as: UTF8.self) })
            for number in 0..<acknowledged { #expect(keys.contains("k\(number)"), "lost: k\(number)") }
            guard case .put = try await reader.call(EdgeCase.put("room", value: "again")) else {
                Issue.record("does not write although there is room")
                return
            }
            await reader.close()
            await again.stop()
        }
    }

    // MARK: -

    @discardableResult private func mount(_ arguments: [String]) async throws -> Bool {
        try await Subprocess.run("/bin/mount", arguments).status == 0
    }

    /// Runs `body` with a file system of its own in memory; needs the right to mount.
    private func withSmallDisk(
        megabytes: Int, purpose: String, _ body: (String) async throws -> Void
    ) async throws {
        let directory = try PackageFiles.temporaryDirectory("disk")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        guard try await mount(["-t", "tmpfs", "-o", "size=\(megabytes)m", "tmpfs", directory]) else {
            print("skipped: \(purpose) (may not mount a file system)")
            return
        }
        let result: Result<Void, any Error>
        do { result = .success(try await body(directory)) } catch { result = .failure(error) }
        _ = try await Subprocess.run("/bin/umount", ["-l", directory])
        try result.get()
    }
}
