import Base
import EtcdProto
import MVCC
import Member
import Membership
import Platform
import PlatformSim
import RaftCore
import TestSupport

/// Whole members in virtual time, each on a disk of its own, whose messages are passed along by the test.
final class SimulatedCluster {
    let clock = ManualClock()
    private(set) var members: [SimulatedMember?] = []
    private var disks: [SimDisk] = []
    private var configurations: [MemberConfiguration] = []
    private var ids: [MemberID] = []
    /// Members that no message reaches or leaves.
    var cutOff: Set<Int> = []
    /// Members that no message reaches; what they send arrives.
    var deaf: Set<Int> = []
    /// Members whose disk does not finish what the log's thread writes.
    var stalled: Set<Int> = []
    /// Whether members that have fetched a database are not told of it.
    var holdsFetchedDatabases = false
    private(set) var snapshotsSent = 0
    /// Appends that were sent, those without entries included.
    private(set) var appendsSent = 0
    /// What each member said last of its windows of the log, and what each other was told of it, as probes do.
    private var effects: [Int: EffectsAccount] = [:]
    private var effectsTold: [[Int]: EffectsAccount] = [:]
    private var nextProbe = Instant(nanoseconds: 0)
    /// Questions about leases that a leader is to answer: by its ticket, and whom the answer goes to.
    private var questions: [UInt64: (leader: Int, asker: Int, question: ForwardedLeaseQuestion)] = [:]
    private var lastQuestion: UInt64 = 1 << 40
    /// Whether snapshots are lost on their way, and how many were.
    var losesSnapshots = false
    private(set) var snapshotsLost = 0
    /// Members that answer questions for hashes as an etcd does.
    var foreign: Set<Int> = []
    /// Promotions that members have forwarded to their leader; the test answers them.
    private(set) var promotionsForwarded: [ForwardedPromotion] = []
    /// Accusations so far, and who waits for an answer to them.
    private(set) var accusations: UInt64 = 0
    private var accusers: [UInt64: Int] = [:]
    private(set) var databasesFetched = 0
    /// Whether members that start from now on check snapshots on a thread of their own, as real ones do.
    var installsOnTwoThreads = false
    /// Changes databases on their way.
    var damage: (inout [UInt8]) -> Void = { _ in }
    private let seed: UInt64

    init(_ count: Int, seed: UInt64 = 1, configure: (inout MemberConfiguration) -> Void = { _ in }) throws {
        self.seed = seed
        let founders = (1...count).map { FoundingMember(name: "m\($0)", peerURL: "http://m\($0):2380") }
        for i in 0..<count {
            var configuration = SimulatedMember.configuration()
            configuration.name = founders[i].name
            configuration.peerURLs = [founders[i].peerURL]
            configuration.initialCluster = founders
            configure(&configuration)
            configurations.append(configuration)
            disks.append(SimDisk())
            let member = try make(i)
            members.append(member)
            ids.append(member.core.localID)
        }
    }

    private func make(_ i: Int) throws(MemberError) -> SimulatedMember {
        try SimulatedMember(
            on: disks[i], clock: clock, seed: seed &* 100 &+ UInt64(i), configuration: configurations[i],
            installsOnTwoThreads: installsOnTwoThreads)
    }

    subscript(i: Int) -> SimulatedMember {
        guard let member = members[i] else { preconditionFailure("member \(i) is down") }
        return member
    }

    func id(_ i: Int) -> MemberID { ids[i] }

    /// Adds a member that joins; the cluster knows it already.
    func join(_ id: MemberID, url: String, cluster: JoinedCluster) throws {
        var configuration = SimulatedMember.configuration()
        configuration.name = "joiner"
        configuration.peerURLs = [url]
        configuration.initialCluster = cluster.members.map {
            FoundingMember(name: $0.id == id ? "joiner" : "\($0.id)", peerURL: $0.peerURLs[0])
        }
        configuration.joining = cluster
        configurations.append(configuration)
        disks.append(SimDisk())
        ids.append(id)
        members.append(try make(members.count))
    }

    /// The machine of a member loses power.
    func crash(_ i: Int, _ policy: CrashPolicy) {
        members[i] = nil
        effects[i] = nil
        effectsTold = effectsTold.filter { $0.key[0] != i }
        disks[i] = disks[i].crash(policy)
    }

    /// Stops a member in an orderly way.
    func stop(_ i: Int) throws {
        try members[i]?.stop()
        members[i] = nil
    }

    /// The newest value that a member has in its file, while it does not run, becomes another one.
    func alter(_ i: Int) throws {
        try AlteredStore.changeNewestValue(in: "data/member/snap/db", on: disks[i])
    }

    /// A row of a bucket that a member has in its file, while it does not run, gets another value.
    func alterRow(of bucket: String, at i: Int, to value: (_ old: [UInt8]) -> [UInt8]?) throws {
        try AlteredStore.changeRow(of: bucket, in: "data/member/snap/db", on: disks[i], to: value)
    }

    func restart(_ i: Int) throws { members[i] = try make(i) }

    /// Changes what a member is started with from now on.
    func configure(_ i: Int, _ change: (inout MemberConfiguration) -> Void) { change(&configurations[i]) }

    /// One step of 10 ms: everybody does everything once, then the messages arrive.
    func step() throws {
        for member in members { member?.turn() }
        for (i, member) in members.enumerated() where !stalled.contains(i) { member?.writeLog() }
        for member in members { member?.writeBackend() }
        for (i, member) in members.enumerated() {
            guard let member else { continue }
            let work = member.outgoing
            member.outgoing = []
            for item in work { try deliver(item, from: i) }
        }
        if clock.now() >= nextProbe { probe() }
        for (ticket, asked) in questions.sorted(by: { $0.key < $1.key }) {
            guard let answer = members[asked.leader]?.takeResponse(ticket) else { continue }
            questions[ticket] = nil
            answered(asked.question, by: asked.leader, answer, to: asked.asker)
        }
        clock.advance(.milliseconds(10))
    }

    /// Everybody asks everybody what windows it has finished.
    private func probe() {
        nextProbe = clock.now() + .seconds(4)
        for asking in ids.indices where members[asking] != nil {
            for asked in ids.indices where asked != asking && reachable(ids[asked], from: asking) != nil {
                let account = effects[asked] ?? EffectsAccount()
                guard account != effectsTold[[asking, asked]] ?? EffectsAccount() else { continue }
                effectsTold[[asking, asked]] = account
                members[asking]?.receive(.effects(of: ids[asked], account))
            }
        }
    }

    private func deliver(_ work: PeerWork, from sender: Int) throws {
        appendsSent += work.messages.count { $0.type == .append }
        for message in work.messages {
            guard let receiver = reachable(message.to, from: sender) else {
                members[sender]?.receive(.unreachable(message.to))
                continue
            }
            members[receiver]?.receive(.messages([message]))
        }
        if let account = work.effects { effects[sender] = account }
        for snapshot in work.snapshots {
            let target = snapshot.message.to
            guard let receiver = reachable(target, from: sender), !losesSnapshots,
                let index = snapshot.message.snapshot?.metadata.index
            else {
                snapshotsLost += 1
                members[sender]?.receive(.snapshotSent(to: target, failed: true))
                continue
            }
            snapshotsSent += 1
            var database = try snapshot.database.read(at: 0, count: Int(snapshot.database.size))
            damage(&database)
            try store(database, index, on: disks[receiver])
            members[receiver]?.receive(.messages([snapshot.message]))
            members[sender]?.receive(.snapshotSent(to: target, failed: false))
        }
        if work.asksVersions {
            let answers = ids.indices.filter { $0 != sender }.map { i in
                PeerVersions(member: ids[i], server: members[i] == nil ? nil : "3.7.1", cluster: nil)
            }
            members[sender]?.receive(.versions(answers))
        }
        promotionsForwarded += work.promotions
        for question in work.leaseQuestions { ask(question, from: sender) }
        for item in work.corruption { try deliver(item, from: sender) }
        for case .add(let id, _) in work.changes where reachable(id, from: sender) != nil {
            members[sender]?.receive(.activity(of: id, since: clock.now()))
        }
    }

    private func ask(_ question: ForwardedLeaseQuestion, from sender: Int) {
        guard let leader = reachable(question.leader, from: sender) else {
            members[sender]?.receive(.leaseAnswered(number: question.number, nil))
            return
        }
        lastQuestion += 1
        questions[lastQuestion] = (leader, sender, question)
        var forwarded = question.question
        forwarded.isForwarded = true
        members[leader]?.post([
            ClientRequest(
                ticket: lastQuestion, body: .lease(forwarded), deadline: clock.now() + .seconds(1), isFromPeer: true)
        ])
    }

    private func answered(
        _ question: ForwardedLeaseQuestion, by leader: Int, _ answer: Result<[UInt8], EtcdError>, to asker: Int
    ) {
        let understood: LeaseAnswer? =
            switch answer {
            case .success(let message): try? LeaseAnswer(message, to: question.question)
            case .failure(.leaseNotFound): .notFound
            case .failure: nil
            }
        guard reachable(ids[leader], from: asker) != nil else { return }
        members[asker]?.receive(.leaseAnswered(number: question.number, understood))
    }

    /// Puts the database of one member where another expects one that it has asked for.
    func storeDatabase(of giver: Int, at receiver: Int) throws {
        let file = try disks[receiver].open(Self.fetchedDatabase, .truncate)
        let database = try self[giver].database()
        try file.write(database.span.bytes, at: 0)
        try file.sync()
        try file.close()
    }

    /// Tells a member that a database which it has asked for is there.
    func tellFetchedDatabase(_ i: Int) {
        members[i]?.receive(.corruption(.databaseFetched(.success(Self.fetchedDatabase))))
    }

    func hasFetchedDatabase(_ i: Int) throws -> Bool { try disks[i].exists(Self.fetchedDatabase) }

    private static let fetchedDatabase = "data/member/snap/tmp-fetched"

    private func deliver(_ work: CorruptionWork, from sender: Int) throws {
        switch work {
        case .fetchDatabase(let ids):
            var giver: Int?
            for id in ids where giver == nil { giver = reachable(id, from: sender) }
            guard let giver else {
                let failure = CorruptionReport.Failure(description: "cut off")
                members[sender]?.receive(.corruption(.databaseFetched(.failure(failure))))
                return
            }
            try storeDatabase(of: giver, at: sender)
            databasesFetched += 1
            if !holdsFetchedDatabases { tellFetchedDatabase(sender) }
        case .askHashes(let number, let revision):
            members[sender]?.receive(
                .corruption(.hashes(number: number, hashes(at: revision, except: sender))))
        case .accuse(let id):
            guard let receiver = reachable(id, from: sender) else {
                members[sender]?.receive(.corruption(.accusationAnswered(id, nil)))
                return
            }
            accusations += 1
            accusers[accusations] = sender
            members[receiver]?.receive(.corruption(.accused(number: accusations)))
        case .answerAccusation(let number, let finding):
            guard let accuser = accusers.removeValue(forKey: number) else { return }
            members[accuser]?.receive(.corruption(.accusationAnswered(ids[sender], finding)))
        }
    }

    /// What all others answer, ordered by ID.
    private func hashes(at revision: Int64, except sender: Int) -> [PeerHash] {
        var answers: [PeerHash] = []
        for i in ids.indices where i != sender {
            if let receiver = reachable(ids[i], from: sender), let member = members[receiver] {
                answers.append(member.hash(at: revision, isForeign: foreign.contains(i)))
            } else {
                answers.append(PeerHash(member: ids[i], answer: PeerHash.Answer.none("cut off")))
            }
        }
        return answers.sorted { $0.member < $1.member }
    }

    private func store(_ database: [UInt8], _ index: LogIndex, on disk: SimDisk) throws {
        let digits = String(index.rawValue, radix: 16)
        let name = String(repeating: "0", count: 16 - digits.count) + digits
        let file = try disk.open("data/member/snap/\(name).snap.db", .truncate)
        try file.write(database.span.bytes, at: 0)
        try file.sync()
        try file.close()
        try disk.syncDirectory("data/member/snap")
    }

    private func reachable(_ id: MemberID, from sender: Int) -> Int? {
        guard let i = ids.firstIndex(of: id), members[i] != nil, !cutOff.contains(i), !cutOff.contains(sender),
            !deaf.contains(i)
        else { return nil }
        return i
    }

    /// Lets time pass until `condition` holds.
    /// - Returns: whether it came to hold within `limit`.
    func run(upTo limit: Duration = .seconds(30), until condition: (SimulatedCluster) -> Bool) throws -> Bool {
        let end = clock.now() + limit
        while !condition(self) {
            if clock.now() >= end { return false }
            try step()
            for case let member? in members where member.failure != nil {
                throw member.failure ?? MemberError(.corruption, "")
            }
        }
        return true
    }

    /// The member that leads the others that run, if they agree.
    var leader: Int? {
        let running = members.indices.filter { members[$0] != nil && !cutOff.contains($0) }
        return running.first { self[$0].core.isLeader }
    }
}
