import EtcdProto
import Foundation
import NIOCore
import TestSupport
import Testing

/// A database on its way to a member that is far behind, whose connection breaks in the middle, twice: a later attempt
/// brings it, nothing of the others stays, and the logs tell what happened. See docs/decisions/136-failed-snapshots.md.
@Suite(.serialized) struct SnapshotCutTests {
    private static let cuts = 2
    /// How much of a snapshot goes through before it is cut.
    private static let cutAfter = 4 << 20
    /// How long the receiver does not read before the connection breaks.
    private static let silence: Duration = .milliseconds(700)
    /// What makes the database, and the member that is away need it.
    private struct Content {
        var entries: Int
        var valueBytes: Int
        var arguments: [String]
        var bytes: Int { entries * valueBytes }
    }
    /// How much more memory the sender may take while the receiver does not read: a part of the database.
    private static let senderBytes = 12 << 20

    @Test func fromMartletToEtcd() async throws {
        guard let martlet = Programs.martlet(for: "snapshots that break"),
            let etcd = Programs.etcd35(for: "receiving snapshots that break")
        else { return }
        try await cut(from: martlet, to: etcd)
    }

    @Test func fromMartletToMartlet() async throws {
        guard let martlet = Programs.martlet(for: "snapshots that break") else { return }
        try await cut(from: martlet, to: martlet)
    }

    @Test func fromEtcdToMartlet() async throws {
        guard let martlet = Programs.martlet(for: "receiving snapshots that break"),
            let etcd = Programs.etcd35(for: "snapshots that break")
        else { return }
        try await cut(from: etcd, to: martlet)
    }

    private func cut(from sender: ServerProgram, to receiver: ServerProgram) async throws {
        let port = LoopbackPorts.next()
        let proxy = try await CuttingProxy.start(
            to: port, cuts: Self.cuts, after: Self.cutAfter, wait: TimeAmount(Self.silence))
        // etcd keeps the last 5,000 entries for slow followers, whatever one says.
        let content =
            sender.name == "martlet"
            ? Content(entries: 1400, valueBytes: 16_384, arguments: ["--snapshot-catchup-entries", "100"])
            : Content(entries: 5600, valueBytes: 4096, arguments: [])
        // The third is reached by way of the proxy.
        try await ClusterUnderTest.with([sender, sender, receiver], arguments: ["--snapshot-count", "500"]) { members in
            members[2].peerPort = proxy.port
            for i in 0..<2 { members[i].arguments += content.arguments }
            members[2].arguments += ["--listen-peer-urls", "http://127.0.0.1:\(port)"]
            let list = members.map { "\($0.name)=\($0.peerURL)" }.joined(separator: ",")
            for i in members.indices { members[i].initialCluster = list }
        } _: { cluster in
            if try await cluster.leader() == 2 { try await cluster.moveLeadership(to: 0) }
            await cluster.crash(2)
            let leader = try await cluster.leader()
            try await cluster.fill(content.entries, bytes: content.valueBytes, at: leader)
            let server = try #require(cluster.members[leader].server)
            // It may have tried before it noticed that nobody was there.
            let before = server.log.count
            async let growth = Self.growth(of: server) { proxy.attempts.count > Self.cuts }
            try await cluster.restart(2)
            try await cluster.expectEqualHashes("after \(Self.cuts) attempts that broke")

            let attempts = proxy.attempts
            #expect(attempts.count == Self.cuts + 1 && attempts.filter(\.isCut).count == Self.cuts, "\(attempts)")
            let database = try #require(attempts.last).bytes
            for attempt in attempts.dropLast() {
                #expect((Self.cutAfter..<database / 2).contains(attempt.bytes), "\(attempts)")
            }
            #expect(database > content.bytes)
            try expectNothingLeft(of: cluster.members[2])
            if receiver.name == "martlet" {
                let log = try #require(cluster.members[2].server).log
                #expect(log.lines(with: "receiving database snapshot").count == Self.cuts + 1)
                let failures = log.lines(with: "failed to save incoming database snapshot")
                #expect(failures.count == Self.cuts && failures.allSatisfy { $0.contains("unexpected EOF") }, "\(log)")
                #expect(log.lines(with: "received and saved database snapshot").count == 1)
            }
            guard sender.name == "martlet" else { return _ = await growth }
            // Pauses of half a second and one, at least.
            #expect(attempts[1].start - attempts[0].start >= Self.silence + .milliseconds(500))
            #expect(attempts[2].start - attempts[1].start >= Self.silence + .milliseconds(1000))
            let more = await growth
            #expect(more < Self.senderBytes, "the sender took \(more >> 20) MiB more")
            let log = String(server.log.dropFirst(before))
            #expect(log.lines(with: "sending database snapshot").count >= Self.cuts + 1)
            let failures = log.lines(with: "failed to send database snapshot")
            #expect(failures.count == Self.cuts, "\(failures.joined(separator: "\n"))")
            #expect(log.lines(with: "a database snapshot did not arrive").count == Self.cuts)
            #expect(log.lines(with: "sent database snapshot").count == 1)
            print("snapshot cut, \(sender) to \(receiver): the sender took \(more >> 10) KiB more")
        }
        await proxy.stop()
    }

    /// The most by which a process's own memory (no mapped files) grows before `isDone`.
    private static func growth(of server: ServerProcess, until isDone: @Sendable () -> Bool) async -> Int {
        let before = server.anonymousBytes ?? 0
        var most = 0
        let deadline = ContinuousClock.now + .seconds(60)
        while !isDone(), ContinuousClock.now < deadline {
            most = max(most, (server.anonymousBytes ?? 0) - before)
            try? await Task.sleep(for: .milliseconds(20))
        }
        return most
    }

    private func expectNothingLeft(of member: ClusterUnderTest.Member) throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: "\(member.options.dataDirectory)/member/snap")
        let left = names.filter { $0.hasPrefix("tmp") || $0.hasSuffix(".snap.db") }
        #expect(left.isEmpty, "\(names)")
    }
}

extension String {
    fileprivate func lines(with text: String) -> [Substring] {
        split(separator: "\n").filter { $0.contains("\"msg\":\"\(text)") }
    }
}

extension ServerProcess {
    /// Bytes of memory that are no file's; nil when it is gone.
    fileprivate var anonymousBytes: Int? {
        guard let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix("RssAnon:") })
        else { return nil }
        return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
    }
}
