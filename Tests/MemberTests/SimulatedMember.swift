import Apply
import Base
import EtcdProto
import MVCC
import Member
import Platform
import PlatformLinux
import PlatformSim
import RaftCore

/// Virtual time.
final class ManualClock: Clock, @unchecked Sendable {
    // SAFETY: only the test's one thread uses it.
    var time = Instant(nanoseconds: 1_000_000_000)
    func now() -> Instant { time }
    func unixMilliseconds() -> Int64 { 1_700_000_000_000 + Int64(time.nanoseconds / 1_000_000) }
    func advance(_ duration: Duration) { time = time + duration }
}

/// A whole member on a simulated disk in virtual time, its three threads played by one: the same core, log writer and
/// backend commits as in the real loop, in an order that the test chooses.
final class SimulatedMember {
    let disk: any Disk
    let clock: ManualClock
    let core: MemberCore
    private let files: OpenFiles
    private let writer: LogWriter
    private var events: [MemberEvent] = []
    private var logWork: [LogWork] = []
    private var commit: CommitBatch?
    private var copiesDatabase = false
    private var installation: Snapshot?
    private var replacement: FetchedDatabase?
    private var unwanted: [String] = []
    private let backend: BackendSlot
    private let installer: SnapshotInstaller
    /// What goes to the peers, until somebody takes it.
    var outgoing: [PeerWork] = []
    private(set) var hasLeft = false
    private(set) var isRemoved = false
    private(set) var isReady = false
    /// Segments of the log that were begun.
    private(set) var cuts = 0
    /// When the last turn wanted the next one.
    private(set) var wakeAt: Instant?
    private(set) var failure: MemberError?
    private(set) var responses: [UInt64: Result<[UInt8], EtcdError>] = [:]
    /// What answers to bounded reads hold to, by ticket.
    private(set) var ages: [UInt64: StateAge] = [:]
    private(set) var statistics: MemberStatistics?
    private(set) var lines: [LogLine] = []
    /// What the opening had to say.
    let openingLines: [LogLine]
    /// Appends that the log's thread has done, and those of them that were synced.
    private(set) var appends = 0
    private(set) var syncs = 0

    static func configuration() -> MemberConfiguration {
        var configuration = MemberConfiguration()
        configuration.dataDirectory = "data"
        configuration.backendMapCapacity = 64 << 20
        configuration.snapshotCount = 40
        configuration.snapshotCatchUpEntries = 10
        configuration.maxWALs = 2
        configuration.maxSnapshots = 2
        return configuration
    }

    init(
        on disk: any Disk, clock: ManualClock, seed: UInt64 = 1,
        configuration: MemberConfiguration = SimulatedMember.configuration(), installsOnTwoThreads: Bool = false
    ) throws(MemberError) {
        self.disk = disk
        self.clock = clock
        var opener = MemberOpener(
            configuration, disk: disk, clock: clock, seed: seed, passwords: LinuxPasswords())
        let opened = try opener.open()
        openingLines = opener.lines
        files = opened.1
        core = MemberCore(
            opened.0, configuration: configuration, now: clock.now(), unixMilliseconds: clock.unixMilliseconds())
        writer = files.makeWriter(configuration, clock: clock)
        backend = BackendSlot(files.backend)
        installer = SnapshotInstaller(
            files, core, configuration, LinuxPasswords(), threads: installsOnTwoThreads ? LinuxThreads() : nil)
    }

    func receive(_ report: PeerReport) { events.append(.peer(report)) }

    func leave() { events.append(.leave) }

    func post(_ requests: [ClientRequest]) { events.append(.requests(requests, sink: 0)) }

    func askForStatistics() { events.append(.statistics { _ in }) }

    /// The member's figures, in a turn of their own.
    func figures() -> MemberStatistics? {
        events.append(.statistics { _ in })
        return core.turn(&events, now: clock.now()).statistics.last?.value
    }

    /// One turn of the core; what it asks of the other threads waits until `writeLog` and `writeBackend`.
    func turn() {
        var effects = core.turn(&events, now: clock.now())
        wakeAt = effects.wakeAt
        logWork.append(contentsOf: effects.log)
        if let batch = effects.commit.take() { commit = batch }
        if effects.copiesDatabase { copiesDatabase = true }
        if let snapshot = effects.install { installation = snapshot }
        if let fetched = effects.replace { replacement = fetched }
        unwanted += effects.unwantedDatabases
        if !effects.peers.isEmpty { outgoing.append(effects.peers) }
        hasLeft = hasLeft || effects.hasLeft
        isRemoved = isRemoved || effects.isRemoved
        if effects.becameReady { isReady = true }
        if let error = effects.failure { failure = failure ?? error }
        for (_, batch) in effects.responses {
            for response in batch.responses {
                if let age = response.age { ages[response.ticket] = age }
                responses[response.ticket] =
                    response.error.map { .failure($0) } ?? .success(Array(batch.bytes[response.range]))
            }
        }
        lines.append(contentsOf: effects.lines)
        if let taken = effects.statistics.last { statistics = taken.value }
    }

    /// The log's thread does what waits for it.
    func writeLog() {
        guard !logWork.isEmpty else { return }
        let batch = logWork
        logWork.removeAll()
        do throws(MemberError) {
            try writer.perform(
                batch,
                completed: {
                    appends += 1
                    if $0.syncSeconds != nil { syncs += 1 }
                    events.append(.logged($0))
                }, cut: { cuts += 1 })
        } catch {
            events.append(.failed(error))
        }
    }

    /// The backend's thread does what waits for it.
    func writeBackend() {
        do {
            if let batch = commit.take() {
                let result = try batch.write(to: backend.file)
                events.append(.committed(BackendCompletion(result: result, seconds: 0)))
            }
            if copiesDatabase {
                copiesDatabase = false
                events.append(.copied(try backend.file.beginCopy(named: "test")))
            }
            if let fetched = replacement.take() {
                events.append(.replaced(try installer.replace(with: fetched, in: backend)))
            }
            for path in unwanted { installer.remove(path) }
            unwanted = []
            if let snapshot = installation.take() {
                events.append(.installed(try installer.install(snapshot, in: backend)))
            }
        } catch let error as MemberError {
            events.append(.failed(error))
        } catch {
            events.append(.failed(MemberError(.disk, "\(error)")))
        }
    }

    /// Lets time pass in ticks, everything done at once, until `condition` holds.
    /// - Returns: whether it came to hold within `limit`.
    func run(upTo limit: Duration = .seconds(30), until condition: (SimulatedMember) -> Bool) -> Bool {
        let end = clock.now() + limit
        while !condition(self) {
            turn()
            writeLog()
            writeBackend()
            if failure != nil || clock.now() >= end { return condition(self) }
            clock.advance(.milliseconds(10))
        }
        return true
    }

    /// Writes what is left and closes the files, as a clean stop does.
    func stop() throws {
        turn()
        writeLog()
        writeBackend()
        turn()
        let last = core.lastWork()
        if let work = last.log { logWork.append(work) }
        writeLog()
        if let batch = last.commit { _ = try batch.write(to: backend.file) }
        try writer.close()
        try backend.file.close()
    }

    /// A copy of what the file holds, as another member gets it.
    func database() throws -> [UInt8] {
        let copy = try backend.file.beginCopy(named: "fetch")
        defer { copy.close() }
        return try copy.read(at: 0, count: Int(copy.size))
    }

    /// What the member answers another's question for its hash.
    func hash(at revision: Int64, isForeign: Bool) -> PeerHash {
        let store = core.applier.store
        let answer: PeerHash.Answer
        do {
            let hash = try store.hashKV(revision)
            answer = .hash(
                MemberHash(
                    hash: hash.hash, compactRevision: hash.compactRevision, newestRevision: store.currentRevision))
        } catch .rejected(.compacted) {
            answer = .compacted
        } catch .rejected(.futureRevision) {
            answer = .futureRevision
        } catch {
            answer = .none("\(error)")
        }
        let state = PeerHash.State(
            revision: store.currentRevision, applied: core.statistics().appliedIndex,
            isQuarantined: core.quarantine != nil)
        return PeerHash(member: core.localID, answer: answer, state: isForeign ? nil : state)
    }

    var waitingLogWork: Int { logWork.count }
    var waitsForBackend: Bool { commit != nil }
    var answered: Int { responses.count }
    var isCompacting: Bool { core.isCompacting }

    func takeResponse(_ ticket: UInt64) -> Result<[UInt8], EtcdError>? {
        responses.removeValue(forKey: ticket)
    }
}
