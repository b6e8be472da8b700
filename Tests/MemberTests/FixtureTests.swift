import Apply
import Auth
import Base
import EtcdProto
import Foundation
import MVCC
import Member
import Membership
import Platform
import PlatformLinux
import RaftCore
import SwiftProtobuf
import TestSupport
import Testing

/// Data directories that released etcd servers left behind, opened by a whole member and compared with what those
/// servers answered.
@Suite("Data directories of etcd", .serialized) struct FixtureTests {
    static let versions = ["3.4.23", "3.5.1", "3.6.14", "3.7.1"]

    struct Case: Sendable, CustomTestStringConvertible {
        var version: String
        var archive: String
        var expected: String
        /// Below the unpacked directory; empty for itself.
        var member = ""
        var testDescription: String { "\(version) \(archive) \(member)" }
    }

    static let directories: [Case] = versions.flatMap { version in
        [
            Case(version: version, archive: "single", expected: "single.expected.json.gz"),
            Case(version: version, archive: "crash", expected: "crash.expected.json.gz"),
            Case(version: version, archive: "walcut", expected: "walcut.expected.json"),
            Case(version: version, archive: "restored", expected: "single.expected.json.gz"),
        ]
    }

    static let memberDirectories: [Case] = versions.flatMap { version in
        ["m1", "m3", "m4"].map {
            Case(version: version, archive: "cluster", expected: "cluster.expected.json.gz", member: $0)
        }
    }

    private func configuration(_ directory: String, _ member: ExpectedContent.Member?) -> MemberConfiguration {
        var configuration = MemberConfiguration()
        configuration.dataDirectory = directory
        configuration.name = member?.name ?? "r1"
        configuration.clientURLs = member?.clientURLs ?? ["http://127.0.0.1:27998"]
        configuration.clearsNoSpaceAlarm = false
        return configuration
    }

    /// Opens a member on a real directory, in virtual time.
    private func open(_ configuration: MemberConfiguration) throws -> SimulatedMember {
        try SimulatedMember(on: LinuxDisk(), clock: ManualClock(), configuration: configuration)
    }

    private func answer(_ body: ClientRequest.Body, _ member: SimulatedMember) throws -> Result<[UInt8], EtcdError> {
        let auth = member.core.applier.auth
        member.post([
            ClientRequest(
                ticket: 1, body: body, identity: ClientIdentity(user: AuthStore.rootUser, revision: auth.revision))
        ])
        #expect(member.run { $0.responses[1] != nil })
        return try #require(member.takeResponse(1))
    }

    private func keyValues(_ member: SimulatedMember, at revision: Int64) throws -> [ExpectedContent.KeyValue]? {
        let request = Etcdserverpb_RangeRequest.with {
            $0.key = Data([0])
            $0.rangeEnd = Data([0])
            $0.revision = revision
            $0.serializable = true
        }
        switch try answer(.range(try request.serializedBytes()), member) {
        case .failure(let error):
            #expect(error == .compacted)
            return nil
        case .success(let bytes):
            return try Etcdserverpb_RangeResponse(serializedBytes: bytes).kvs.map {
                ExpectedContent.KeyValue(
                    key: Array($0.key), createRevision: $0.createRevision, modRevision: $0.modRevision,
                    version: $0.version, value: Array($0.value), lease: $0.lease)
            }
        }
    }

    private func expectContent(_ expected: ExpectedContent, _ member: SimulatedMember) throws {
        let store = member.core.applier.store
        #expect(store.currentRevision == expected.currentRevision)
        for (revision, state) in expected.states {
            #expect(try keyValues(member, at: revision) == state, "revision \(revision)")
        }
        for (revision, hash) in expected.hashes {
            #expect(try store.hashKV(revision).hash == hash, "HashKV at \(revision)")
        }
        #expect(
            store.leaseRecords.map {
                ExpectedContent.Lease(
                    id: $0.id.rawValue, timeToLive: $0.timeToLive, keys: store.keys(ofLease: $0.id))
            } == expected.leases)
        let auth = member.core.applier.auth
        #expect(
            Dictionary(
                uniqueKeysWithValues: auth.allUsers.map { user in
                    (String(decoding: user.name, as: UTF8.self), user.roles.map { String(decoding: $0, as: UTF8.self) })
                }) == expected.users)
        #expect(auth.allRoles.map { String(decoding: $0.name, as: UTF8.self) } == expected.roles)
        if let isEnabled = expected.isAuthEnabled { #expect(auth.isEnabled == isEnabled) }
        if let revision = expected.authRevision { #expect(auth.revision == revision) }
    }

    private func members(_ member: SimulatedMember) -> [ExpectedContent.Member] {
        member.core.applier.cluster.members.map {
            .init(
                id: $0.id.rawValue, name: $0.name, peerURLs: $0.peerURLs, clientURLs: $0.clientURLs,
                isLearner: $0.isLearner)
        }
    }

    @Test("A single member's directory holds what it held, is written to, and opens again", arguments: directories)
    func single(_ test: Case) throws {
        guard var expected = try ExpectedContent("etcd-\(test.version)/\(test.expected)"),
            let fixture = try FixtureArchive("etcd-\(test.version)/\(test.archive).tar.gz")
        else { return }
        print("ran: \(test.testDescription)")
        if test.archive == "restored" {
            // Saved before the alarm; a new member of a new cluster.
            expected.noSpaceAlarms = []
            expected.maintenanceHash = nil
            expected.members = [
                .init(
                    id: 0x7cfe_7f85_2227_4279, name: "r1", peerURLs: ["http://127.0.0.1:27999"],
                    clientURLs: ["http://127.0.0.1:27998"], isLearner: false)
            ]
        }
        let configuration = configuration(fixture.path, expected.members.first)
        for round in 1...2 {
            let member = try open(configuration)
            try #require(member.run { $0.isReady }, "round \(round): \(member.lines)")
            try expectContent(expected, member)
            #expect(members(member) == expected.members)
            #expect(
                member.core.applier.alarms.all.filter { $0.kind == .noSpace }.map(\.member.rawValue)
                    == expected.noSpaceAlarms)
            let isStale = test.version == "3.5.1" || (test.archive == "restored" && test.version == "3.4.23")
            #expect(!member.openingLines.contains { $0.message.contains("is not that of the snapshot and the log") })
            let corrections = member.openingLines.filter { $0.message.contains("corrected the backend's list") }
            #expect(corrections.isEmpty != (isStale && round == 1), "\(corrections)")
            // Every byte of every bucket, but where a correction was needed.
            if let hash = expected.maintenanceHash, !isStale {
                #expect(try member.core.applier.store.hash() == hash)
            }
            let kept = member.core.applier.cluster.version
            #expect(kept.map { "\($0)" } == test.version.split(separator: ".").prefix(2).joined(separator: ".") + ".0")
            try member.stop()
        }
    }

    @Test(
        "A member of a cluster opens with the state and the membership that the cluster had",
        arguments: memberDirectories)
    func clustered(_ test: Case) throws {
        guard let expected = try ExpectedContent("etcd-\(test.version)/\(test.expected)"),
            let fixture = try FixtureArchive("etcd-\(test.version)/\(test.archive).tar.gz")
        else { return }
        print("ran: \(test.testDescription)")
        let local = expected.members.first { $0.name == test.member }
        let member = try open(configuration(fixture.path + "/" + test.member, local))
        // Whoever stopped first may not have heard of the last commit: what it holds is right, and may lack the end.
        _ = member.run(upTo: .seconds(5)) { $0.isReady }
        #expect(member.failure == nil)
        #expect(!member.isReady, "a member of three has no leader while it is alone")
        #expect(members(member) == expected.members)
        let store = member.core.applier.store
        #expect(store.currentRevision == expected.currentRevision)
        for (revision, state) in expected.states {
            #expect(try keyValues(member, at: revision) == state, "revision \(revision)")
        }
        for (revision, hash) in expected.hashes {
            #expect(try store.hashKV(revision).hash == hash, "HashKV at \(revision)")
        }
        #expect(!member.openingLines.contains { $0.message.contains("is not that of the snapshot and the log") })
        let corrections = member.openingLines.filter { $0.message.contains("corrected the backend's list of members") }
        #expect(corrections.isEmpty == (test.version != "3.5.1"), "\(member.openingLines)")
        try member.stop()
    }

    @Test("A removed member says so", arguments: versions) func removed(version: String) throws {
        guard let fixture = try FixtureArchive("etcd-\(version)/cluster.tar.gz") else { return }
        let configuration = configuration(fixture.path + "/m2", nil)
        do {
            // 3.4 stopped so fast that its own removal was not in its backend yet.
            let member = try open(configuration)
            _ = member.run(upTo: .seconds(3)) { $0.isReady }
            #expect(version == "3.4.23")
            #expect(member.core.applier.cluster.isRemoved(member.core.applier.cluster.localID))
            try member.stop()
        } catch { #expect(version != "3.4.23") }
        let error = #expect(throws: MemberError.self) { try open(configuration) }
        #expect(error?.description.contains("permanently removed") == true, "\(error?.description ?? "")")
    }

    @Test("--force-new-cluster goes on alone with everything that was committed", arguments: versions, ["m1", "m4"])
    func forcesNewCluster(version: String, name: String) throws {
        guard let expected = try ExpectedContent("etcd-\(version)/cluster.expected.json.gz"),
            let fixture = try FixtureArchive("etcd-\(version)/cluster.tar.gz")
        else { return }
        let local = try #require(expected.members.first { $0.name == name })
        var configuration = configuration(fixture.path + "/" + name, local)
        configuration.forcesNewCluster = true
        let member = try open(configuration)
        try #require(member.run { $0.isReady }, "\(member.lines)")
        #expect(members(member) == [local])
        try expectContent(expected, member)
        _ = try answer(try KV.put("alone", "1"), member).get()
        try member.stop()
        configuration.forcesNewCluster = false
        let again = try open(configuration)
        try #require(again.run { $0.isReady }, "\(again.lines)")
        #expect(members(again) == [local])
        #expect(again.core.applier.store.currentRevision == expected.currentRevision + 1)
        try again.stop()
    }

    struct Damaged: Sendable, CustomTestStringConvertible {
        var version: String
        var name: String
        /// What is left; the whole content unless the end of the log was lost.
        var revision: Int64
        var testDescription: String { "\(version) \(name)" }
    }

    static let damaged: [Damaged] = ["3.5.1", "3.7.1"].flatMap { version in
        [
            ("garbage-after-end", 119), ("snap-bitflip", 119), ("snap-empty", 119), ("snap-missing", 119),
            ("db-newer-meta", 119),
            // Seven and six changes lay behind the tear.
            ("torn-sector", 112), ("torn-truncated", 113),
        ].map { Damaged(version: version, name: $0.0, revision: $0.1) }
    }

    @Test("A damaged directory that opens holds everything that is not lost, to the byte", arguments: damaged)
    func damagedContent(_ test: Damaged) throws {
        guard let expected = try ExpectedContent("etcd-\(test.version)/crash.expected.json.gz"),
            let fixture = try FixtureArchive("etcd-\(test.version)/corrupt/\(test.name).tar.gz")
        else { return }
        let parent = URL(fileURLWithPath: fixture.path).deletingLastPathComponent().path
        let name = try FileManager.default.contentsOfDirectory(atPath: parent).first {
            FileManager.default.fileExists(atPath: "\(parent)/\($0)/member")
        }
        let member = try open(configuration("\(parent)/\(try #require(name))", expected.members.first))
        #expect(member.run { $0.isReady })
        let store = member.core.applier.store
        #expect(store.currentRevision == test.revision)
        for (revision, state) in expected.states where revision <= store.currentRevision {
            #expect(try keyValues(member, at: revision) == state, "revision \(revision)")
        }
        for (revision, hash) in expected.hashes where revision > 0 && revision <= store.currentRevision {
            #expect(try store.hashKV(revision).hash == hash, "HashKV at \(revision)")
        }
        #expect(members(member) == expected.members)
        try member.stop()
    }

    @Test("The traps that real versions left are told in the log")
    func traps() throws {
        guard let restored = try FixtureArchive("etcd-3.4.23/restored.tar.gz") else { return }
        let member = try open(configuration(restored.path, nil))
        #expect(
            member.openingLines.contains {
                $0.level == .warn && $0.message.contains("corrected the backend's list of members")
            }, "\(member.openingLines)")
        #expect(member.run { $0.isReady })
        try member.stop()
        guard let stale = try FixtureArchive("etcd-3.6.14/restored.tar.gz") else { return }
        let other = try open(configuration(stale.path, nil))
        #expect(
            other.openingLines.contains { $0.level == .warn && $0.message.contains("another raft configuration") },
            "\(other.openingLines)")
        try other.stop()
        guard let crash = try FixtureArchive("etcd-3.4.23/crash.tar.gz") else { return }
        let legacy = try open(configuration(crash.path, nil))
        #expect(legacy.run { $0.isReady })
        #expect(legacy.core.applier.cluster.version == SemanticVersion(major: 3, minor: 4))
        try legacy.stop()
    }
}
