import Base
import Foundation
import MVCC
import Member
import PeerTransport
import Platform
import PlatformLinux
import RaftCore
import Testing

/// Databases on their way to a peer: their speed, what is told of it, and what is counted.
@Suite(.serialized) struct SnapshotTests {
    private func at(_ milliseconds: Int) -> Instant { Instant(nanoseconds: UInt64(milliseconds) * 1_000_000) }

    @Test("All snapshots together keep to the limit, and nothing is saved up")
    func pace() {
        var pace = SnapshotPace(bytesPerSecond: 1_000_000)
        #expect(pace.pieceBytes == 100_000)
        #expect(pace.wait(for: 100_000, at: at(0)) == .zero)
        // Another one, at the same time.
        #expect(pace.wait(for: 50_000, at: at(0)) == .milliseconds(100))
        #expect(pace.wait(for: 100_000, at: at(100)) == .milliseconds(50))
        #expect(pace.wait(for: 100_000, at: at(10_000)) == .zero)
        #expect(pace.wait(for: 100_000, at: at(10_000)) == .milliseconds(100))

        var unlimited = SnapshotPace(bytesPerSecond: 0)
        for _ in 0..<10 { #expect(unlimited.wait(for: 1 << 30, at: at(0)) == .zero) }
        #expect(unlimited.pieceBytes == PeerLimits.snapshotChunkBytes)
        #expect(SnapshotPace(bytesPerSecond: 1).pieceBytes == 16 << 10)
        #expect(SnapshotPace(bytesPerSecond: .max).pieceBytes == PeerLimits.snapshotChunkBytes)
    }

    @Test("A line at each 256 MiB or each ten seconds, with percent, speed and what remains")
    func progress() throws {
        let size: Int64 = 1 << 30
        var progress = SnapshotProgress(size: size, at: at(0))
        #expect(progress.line(sent: 255 << 20, at: at(1000)) == nil)
        let quarter = progress.line(sent: 256 << 20, at: at(2000))
        let line = try #require(quarter)
        #expect(line.map { $0.name } == ["sent", "percent", "bytes-per-second", "remaining"])
        #expect(line.map { $0.value } == ["268435456", "25", "134217728", "6s"])
        #expect(progress.line(sent: 257 << 20, at: at(11_999)) == nil)
        let slow = progress.line(sent: 258 << 20, at: at(12_000))
        #expect(slow?.first?.value == "\(258 << 20)")
        #expect(progress.line(sent: size, at: at(60_000)) == nil, "the end has a line of its own")
        var stuck = SnapshotProgress(size: size, at: at(0))
        let still = stuck.line(sent: 0, at: at(10_000))
        #expect(still?.last?.value == "unknown")
    }

    private func activity(_ id: UInt64, at peer: TestPeer) async -> Bool {
        await eventually { peer.host.contains { if case .activity(MemberID(id), .some) = $0 { true } else { false } } }
    }

    /// A database of an empty backend goes over at a limited speed, and arrives as it was.
    @Test func arrivesAtTheSpeedThatIsAllowed() async throws {
        let b = try await TestPeer(2)
        var options = BackendFile.Options()
        options.mapCapacity = 1 << 24
        let file = try BackendFile.open("\(b.directory)/source", on: LinuxDisk(), options: options)
        let copy = try file.beginCopy(named: "test")
        let size = copy.size
        let rate = UInt64(max(size, 32 << 10))
        let a = try await TestPeer(1, snapshotBytesPerSecond: rate)
        a.know(b)
        b.know(a)
        #expect(await activity(2, at: a))
        let message = Message(
            type: .snapshot, to: b.id, from: a.id, term: Term(1),
            snapshot: Snapshot(
                data: Array("{}".utf8), metadata: SnapshotMetadata(index: LogIndex(0x2a), term: Term(1))))
        var work = PeerWork()
        work.snapshots = [OutgoingSnapshot(message: message, database: copy)]
        let start = ContinuousClock.now
        a.transport.carry(work)
        #expect(await eventually { await a.statistics().peers.first?.snapshotsSent.underWay == 1 })
        #expect(
            await eventually { a.host.contains { if case .snapshotSent(_, false) = $0 { true } else { false } } })
        // The first piece does not wait.
        let piece = SnapshotPace(bytesPerSecond: rate).pieceBytes
        let least = Double(size - Int64(piece)) / Double(rate) * 0.9
        #expect(ContinuousClock.now - start > .milliseconds(Int(least * 1000)), "\(size) bytes at \(rate)/s")
        #expect(await eventually { b.host.messages.map(\.type) == [.snapshot] })
        let arrived = try Data(contentsOf: URL(fileURLWithPath: "\(b.directory)/000000000000002a.snap.db"))
        #expect(try Array(arrived) == copy.read(at: 0, count: Int(size)))

        let sent = try #require(await a.statistics().peers.first)
        #expect(sent.id == b.id && sent.isActive == true && sent.sentBytes >= UInt64(size))
        #expect(sent.snapshotsSent.succeeded == 1 && sent.snapshotsSent.failed == 0)
        #expect(sent.snapshotsSent.durations.count == 1 && sent.snapshotsSent.durations.sum > least)
        let received = try #require(await b.statistics().peers.first)
        #expect(received.id == a.id && received.receivedBytes >= UInt64(size))
        #expect(received.snapshotsReceived.succeeded == 1 && received.snapshotsReceived.underWay == 0)
        #expect(received.receiveFailures == 0)
        copy.close()
        try file.close()
        await a.stop()
        await b.stop()
    }

    /// Nobody is there: the failure is told, and counted once on either side of nothing.
    @Test func failuresAreCounted() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        var options = BackendFile.Options()
        options.mapCapacity = 1 << 24
        let file = try BackendFile.open("\(a.directory)/source", on: LinuxDisk(), options: options)
        a.know(b)
        b.know(a)
        // All four streams: one that comes up while the peer stops would make it active once more.
        #expect(await eventually { a.log.lines(with: "established TCP streaming connection").count == 4 })
        await b.stop()
        #expect(await eventually { await a.statistics().peers.first?.isActive == false })
        var work = PeerWork()
        let message = Message(
            type: .snapshot, to: b.id, from: a.id, term: Term(1),
            snapshot: Snapshot(data: [], metadata: SnapshotMetadata(index: LogIndex(1), term: Term(1))))
        work.snapshots = [OutgoingSnapshot(message: message, database: try file.beginCopy(named: "test"))]
        a.transport.carry(work)
        #expect(await eventually { a.host.contains { if case .snapshotSent(_, true) = $0 { true } else { false } } })
        let sent = try #require(await a.statistics().peers.first)
        #expect(sent.snapshotsSent.failed == 1 && sent.snapshotsSent.underWay == 0)
        #expect(sent.snapshotsSent.durations.count == 0)
        #expect(sent.disconnections == 1 && sent.sendFailures >= 1)
        await a.stop()
    }

    /// What a sender that is no peer yet brings is still counted as its own when it becomes one.
    @Test func figuresOutlastTheIntroduction() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        a.know(b)
        a.send(Message(type: .heartbeat, to: b.id, from: a.id, term: Term(1)))
        #expect(await eventually { b.host.messages.count == 1 })
        let before = try #require(await b.statistics().peers.first)
        #expect(before.id == a.id && before.receivedBytes > 0)
        b.know(a)
        #expect(await eventually { await b.statistics().peers.first?.isActive == true })
        #expect(try #require(await b.statistics().peers.first).receivedBytes >= before.receivedBytes)
        await a.stop()
        await b.stop()
    }
}
