import Base
import EtcdProto
import Member
import Platform
import PlatformSim
import RaftCore
import Testing
import WAL

/// What a member lets go of its log. It holds a lock on each segment that it may need; after a snapshot it gives up
/// those on older ones, so that whoever purges, itself or another program, may remove them.
@Suite struct LogLockTests {
    private static let logDirectory = "data/member/wal"

    private static func configure(_ configuration: inout MemberConfiguration, maxWALs: Int) {
        configuration.logSegmentBytes = 4000
        configuration.snapshotCount = 40
        configuration.snapshotCatchUpEntries = 10
        configuration.maxWALs = maxWALs
    }

    private func started(on disk: SimDisk, maxWALs: Int) throws -> SimulatedMember {
        var configuration = SimulatedMember.configuration()
        Self.configure(&configuration, maxWALs: maxWALs)
        let member = try SimulatedMember(on: disk, clock: ManualClock(), configuration: configuration)
        #expect(member.run { $0.isReady })
        return member
    }

    private func put(_ range: Range<Int>, at member: SimulatedMember) throws {
        for n in range {
            member.post([ClientRequest(ticket: 1, body: try KV.put("k\(n)", String(repeating: "v", count: 200)))])
            #expect(member.run { $0.responses[1] != nil })
            _ = try member.takeResponse(1)?.get()
        }
    }

    private func segments(on disk: any Disk) throws -> [SegmentName] {
        try disk.list(Self.logDirectory).compactMap { SegmentName($0) }.sorted()
    }

    private func isLocked(_ segment: SegmentName, on disk: any Disk) throws -> Bool {
        let file = try disk.open("\(Self.logDirectory)/\(segment)", .readWrite)
        defer { try? file.close() }
        do { try file.lock(.openFileDescription) } catch {
            guard error.reason == .locked else { throw error }
            return true
        }
        return false
    }

    /// The index of the newest snapshot that has a file.
    private func newestSnapshot(on disk: any Disk) throws -> LogIndex {
        let indexes = try disk.list("data/member/snap").filter { $0.hasSuffix(".snap") }.compactMap {
            UInt64($0.dropLast(5).suffix(16), radix: 16)
        }
        return LogIndex(try #require(indexes.max()))
    }

    /// All entries behind the newest snapshot are in segments that are locked, and no segment before those is.
    private func expectOnlyNeededLocks(on disk: any Disk, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let all = try segments(on: disk)
        let snapshot = try newestSnapshot(on: disk)
        let needed = try #require(all.lastIndex { $0.index <= snapshot.next() }, sourceLocation: sourceLocation)
        #expect(needed > 0, "there is something to let go of", sourceLocation: sourceLocation)
        // Its head may be the very next entry: then the one before it may be held, and need not be.
        let certain = all[needed].index == snapshot.next() ? needed - 1 : needed
        for (i, segment) in all.enumerated() where i < certain || i >= needed {
            #expect(
                try isLocked(segment, on: disk) == (i >= needed),
                "\(segment), the snapshot being at \(snapshot)", sourceLocation: sourceLocation)
        }
    }

    @Test("After a snapshot of its own a member holds what it needs to start from it, and nothing before that")
    func afterOwnSnapshot() throws {
        let disk = SimDisk()
        let member = try started(on: disk, maxWALs: 0)
        for segment in try segments(on: disk) { #expect(try isLocked(segment, on: disk)) }
        try put(0..<100, at: member)
        #expect(member.lines.contains { $0.message == "saved snapshot" })
        let before = try segments(on: disk)
        #expect(before.count > 5 && before[0].sequence == 0, "nothing is removed by the member itself")
        try expectOnlyNeededLocks(on: disk)

        // Somebody else may take away what is free, and only that; what is left is enough for a start.
        let removed = try WriteAheadLog.purge(on: disk, directory: Self.logDirectory, keeping: 1)
        let left = try segments(on: disk)
        #expect(removed.count > 2 && removed.count + left.count == before.count)
        for segment in left { #expect(try isLocked(segment, on: disk)) }
        try put(100..<110, at: member)
        let again = try started(on: disk.crash(.loseUnsynced), maxWALs: 0)
        #expect(again.core.revision == member.core.revision)
    }

    @Test("A member that purges by itself keeps as few segments as it is told, but all that it needs")
    func purgesByItself() throws {
        let disk = SimDisk()
        let member = try started(on: disk, maxWALs: 1)
        var most = 0
        for round in 0..<10 {
            try put(round * 20..<round * 20 + 20, at: member)
            most = max(most, try segments(on: disk).count)
        }
        let left = try segments(on: disk)
        let snapshot = try newestSnapshot(on: disk)
        #expect(left[0].sequence > 5 && left[0].index <= snapshot.next())
        #expect(most < 10, "as many as fill between two snapshots, not \(most)")
        for segment in left { #expect(try isLocked(segment, on: disk)) }
        let again = try started(on: disk.crash(.loseUnsynced), maxWALs: 1)
        #expect(again.core.revision == member.core.revision)
    }

    @Test("A leader's snapshot frees what came before it")
    func afterLeadersSnapshot() throws {
        let cluster = try SimulatedCluster(3) { Self.configure(&$0, maxWALs: 0) }
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        let leader = try #require(cluster.leader)
        let away = (leader + 1) % 3
        func put(_ range: Range<Int>) throws {
            for n in range {
                _ = try ask(KV.put("k\(n)", String(repeating: "v", count: 200)), at: leader, cluster).get()
            }
        }
        // Some segments, and no snapshot yet.
        try put(0..<25)
        #expect(try cluster.run { $0[away].core.revision == $0[leader].core.revision })
        let disk = cluster[away].disk
        let before = try segments(on: disk)
        #expect(before.count > 1)
        for segment in before { #expect(try isLocked(segment, on: disk)) }
        cluster.cutOff = [away]
        try put(25..<120)
        cluster.cutOff = []
        #expect(try cluster.run { $0[away].core.revision == $0[leader].core.revision })
        #expect(cluster.snapshotsSent == 1)
        try expectOnlyNeededLocks(on: disk)
        for segment in before.dropLast() { #expect(try !isLocked(segment, on: disk)) }
    }
}
