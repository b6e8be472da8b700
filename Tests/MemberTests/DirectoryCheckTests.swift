import Foundation
import Member
import PlatformLinux
import PlatformSim
import TestSupport
import Testing

@Suite("Check of a data directory") struct DirectoryCheckTests {
    @Test("Every golden directory is found in order", arguments: FixtureTests.directories)
    func golden(_ test: FixtureTests.Case) throws {
        guard let fixture = try FixtureArchive("etcd-\(test.version)/\(test.archive).tar.gz") else { return }
        let check = DirectoryCheck(fixture.path, on: LinuxDisk())
        #expect(!check.hasProblems, "\(check.findings)")
        #expect(check.findings.count { $0.level == .ok } >= 5, "\(check.findings)")
    }

    @Test(
        "Damage is found and told with its place",
        arguments: [
            ("torn-sector", false, "unexpected EOF"), ("crc-middle", true, "crc mismatch: expected: 2eb410c5"),
            ("snap-bitflip", false, "crc mismatch"), ("db-both-metas", true, "checksum"),
            ("db-missing", true, "missing"),
            ("db-newer-meta", true, "behind the snapshot at 138"),
        ])
    func damaged(name: String, isProblem: Bool, text: String) throws {
        guard let fixture = try FixtureArchive("etcd-3.5.1/corrupt/\(name).tar.gz") else { return }
        let parent = URL(fileURLWithPath: fixture.path).deletingLastPathComponent().path
        let found = try FileManager.default.contentsOfDirectory(atPath: parent).first {
            FileManager.default.fileExists(atPath: "\(parent)/\($0)/member")
        }
        let check = DirectoryCheck("\(parent)/\(try #require(found))", on: LinuxDisk())
        #expect(check.hasProblems == isProblem, "\(check.findings)")
        #expect(check.findings.contains { $0.level != .ok && $0.text.contains(text) }, "\(check.findings)")
    }

    @Test("What a member left after a crash is in order, too")
    func ownDirectory() throws {
        let run = CrashRun(on: SimDisk(), changes: 60, seed: 5, stops: false)
        let check = DirectoryCheck("data", on: run.disk.crash(.loseUnsynced))
        #expect(!check.hasProblems, "\(check.findings)")
    }
}
