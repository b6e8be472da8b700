import Base
import Foundation
import Platform
import PlatformSim
import RaftCore
import Testing
import WAL

/// How many seeds: the long form runs where `MARTLET_SOAK` is set.
func longForm(_ long: UInt64, short: UInt64) -> UInt64 {
    ProcessInfo.processInfo.environment["MARTLET_SOAK"] == nil ? short : long
}

/// A clock that stands still: the log only measures with it.
struct StoppedClock: Clock {
    func now() -> Instant { Instant(nanoseconds: 0) }
    func unixMilliseconds() -> Int64 { 0 }
}

/// What a log must hold, record by record: everything that a reader may see after a crash is one of these states.
struct LogModel {
    struct State: Equatable {
        var entries: [Entry] = []
        var hardState = HardState()
        var snapshot = WALSnapshot()
    }

    /// The states since the last sync that returned, that one first.
    private(set) var admissible: [State] = [State()]
    var current: State { admissible[admissible.count - 1] }

    init(_ state: State = State()) { admissible = [state] }

    mutating func issue(entries: [Entry], hardState: HardState?) {
        for entry in entries {
            var state = current
            state.entries.removeSubrange(Int(entry.index.rawValue - 1)...)
            state.entries.append(entry)
            admissible.append(state)
        }
        if let hardState {
            var state = current
            state.hardState = hardState
            admissible.append(state)
        }
    }

    mutating func issue(_ snapshot: WALSnapshot) {
        var state = current
        state.snapshot = snapshot
        admissible.append(state)
    }

    mutating func acknowledge() { admissible = [current] }
}

/// A seeded member's life as its log sees it.
struct LogWorkload {
    static let directory = "/data/wal"
    static let metadata = WALMetadata(memberID: MemberID(0xabc), clusterID: ClusterID(0xdef))
    var model = LogModel()
    /// Whether `create` returned, so that the log must be there.
    var isCreated = false
    /// Every entry that was handed to the log, overwritten ones too.
    private(set) var everIssued: [Entry] = []
    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    static var options: WriteAheadLog.Options {
        var options = WriteAheadLog.Options()
        options.segmentSize = 6000
        return options
    }

    /// Creates the log and uses it until the disk stops, or for `steps` steps.
    mutating func run(on disk: SimDisk, steps: Int) throws {
        let log = try WriteAheadLog.create(
            on: disk, clock: StoppedClock(), directory: LogWorkload.directory, metadata: LogWorkload.metadata,
            options: LogWorkload.options)
        isCreated = true
        try run(on: disk, log: log, steps: steps)
        try log.close()
    }

    mutating func run(on disk: SimDisk, log: WriteAheadLog, steps: Int) throws {
        for _ in 0..<steps {
            switch random.next(below: 10) {
            case 0: try log.pipeline.prepare()
            case 1:
                // Only the commit moves: no sync is needed.
                var state = model.current.hardState
                guard !state.isEmpty else { continue }
                state.commit = LogIndex(UInt64(model.current.entries.count))
                #expect(!log.requiresSync(hardState: state, entries: []))
                model.issue(entries: [], hardState: state)
                try log.save(hardState: state, entries: [], sync: false)
            case 2:
                let state = model.current
                guard state.hardState.commit > state.snapshot.index else { continue }
                let index = state.hardState.commit
                let snapshot = WALSnapshot(
                    index: index, term: state.entries[Int(index.rawValue - 1)].term,
                    confState: ConfState(voters: [MemberID(0xabc)]))
                model.issue(snapshot)
                try log.saveSnapshot(snapshot)
                model.acknowledge()
                try log.releaseLocks(upTo: index)
                _ = try WriteAheadLog.purge(
                    on: disk, directory: LogWorkload.directory, keeping: 1 + random.next(below: 2))
            default: try save(log)
            }
        }
    }

    /// New entries; sometimes of a new term and over the uncommitted end.
    private mutating func save(_ log: WriteAheadLog) throws {
        let state = model.current
        var hard = state.hardState
        var first = LogIndex(UInt64(state.entries.count)).next()
        if hard.term == .zero || random.chance(1, in: 6) {
            hard.term = hard.term.next()
            hard.vote = MemberID(UInt64(random.next(below: 3)))
            let uncommitted = first - hard.commit.next()
            if uncommitted > 0 { first = hard.commit.next() + random.next(below: uncommitted + 1) }
        }
        let entries = (0..<(1 + random.next(below: 4))).map { i in
            Entry(
                type: random.chance(1, in: 8) ? .confChange : .normal, term: hard.term, index: first + i,
                data: (0..<random.next(below: 900)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        }
        if random.chance(1, in: 2) { hard.commit = max(hard.commit, entries[0].index) }
        let changed = hard == state.hardState ? nil : hard
        #expect(log.requiresSync(hardState: changed, entries: entries))
        model.issue(entries: entries, hardState: changed)
        everIssued += entries
        try log.save(hardState: changed, entries: entries, sync: true)
        model.acknowledge()
    }

    /// Opens what a crash left as a member does, and checks it.
    /// - Returns: the log and a model that starts from what was found; nil if there is rightly none.
    func recover(on disk: SimDisk, _ context: String) throws -> (log: WriteAheadLog, found: LogModel.State)? {
        guard try WriteAheadLog.exists(on: disk, directory: LogWorkload.directory) else {
            #expect(!isCreated, "the log is gone: \(context)")
            return nil
        }
        let snapshots = try WriteAheadLog.validSnapshots(on: disk, directory: LogWorkload.directory)
        let snapshot = try #require(snapshots.last, "\(context)")
        func open() throws -> (log: WriteAheadLog, contents: WALContents) {
            try WriteAheadLog.open(
                on: disk, clock: StoppedClock(), directory: LogWorkload.directory, at: snapshot,
                options: LogWorkload.options)
        }
        var opened: (log: WriteAheadLog, contents: WALContents)
        do {
            opened = try open()
        } catch let error as WALError where error.isRepairable {
            let repair = try WriteAheadLog.repair(on: disk, directory: LogWorkload.directory)
            #expect(repair != nil, "\(context)")
            opened = try open()
        }
        #expect(opened.contents.metadata == LogWorkload.metadata)
        let found = model.admissible.first { state in
            state.snapshot.index == snapshot.index && state.snapshot.term == snapshot.term
                && state.hardState == opened.contents.hardState
                && state.entries[Int(snapshot.index.rawValue)...].elementsEqual(opened.contents.entries)
        }
        let state = try #require(
            found,
            "\(context): \(snapshot), \(opened.contents.hardState), \(opened.contents.entries.count) entries"
        )
        return (opened.log, state)
    }
}

@Suite("Crashes of the log") struct CrashTests {
    /// `/data`, durable.
    private func makeDisk() throws -> SimDisk {
        let disk = SimDisk()
        try disk.createDirectory("/data")
        try disk.syncDirectory("/")
        return disk
    }

    @Test(
        "After a crash at every sync, under every policy, each acknowledged save is there and nothing else",
        arguments: 1...longForm(20, short: 2))
    func everySync(seed: UInt64) throws {
        let steps = 30
        let complete = try makeDisk()
        var workload = LogWorkload(seed: seed)
        try workload.run(on: complete, steps: steps)
        let syncs = complete.syncCount
        #expect(syncs > 20, "seed \(seed)")
        for stop in 2...syncs {
            let disk = try makeDisk()
            disk.stop(atSync: stop)
            var workload = LogWorkload(seed: seed)
            #expect(throws: WALError.self) { try workload.run(on: disk, steps: steps) }
            for policy in CrashPolicy.all(seeds: [seed]) {
                let context = "seed \(seed), sync \(stop) of \(syncs), \(policy)"
                let image = disk.crash(policy)
                do {
                    try checkAndGoOn(workload, on: image, context)
                } catch {
                    Issue.record("\(context): \(error)")
                }
            }
        }
    }

    /// Recovers, works on, and finds that again.
    private func checkAndGoOn(_ workload: LogWorkload, on disk: SimDisk, _ context: String) throws {
        var next = workload
        guard let (log, _) = try next.recover(on: disk, context) else {
            next.model = LogModel()
            return try next.run(on: disk, steps: 3)
        }
        try log.close()
        guard let (again, state) = try next.recover(on: disk, context + ", reopened") else { return }
        next.model = LogModel(state)
        next.isCreated = true
        try next.run(on: disk, log: again, steps: 6)
        try again.sync()
        next.model.acknowledge()
        let after = disk.crash(.loseUnsynced)
        #expect(try next.recover(on: after, context + ", crashed again") != nil)
    }

    @Test("A log that was closed cleanly gives everything back, and leaves no prepared segment")
    func cleanClose() throws {
        let disk = try makeDisk()
        var workload = LogWorkload(seed: 7)
        try workload.run(on: disk, steps: 60)
        workload.model.acknowledge()
        #expect(try !disk.list(LogWorkload.directory).contains { $0.hasSuffix(".tmp") })
        #expect(try workload.recover(on: disk.crash(.loseUnsynced), "clean close") != nil)
    }

    @Test(
        "Damage at any place is repaired by the rules, refused with an error, or harmless; never garbage",
        arguments: 1...longForm(5000, short: 200))
    func randomDamage(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let disk = try makeDisk()
        var workload = LogWorkload(seed: seed % 5)
        try workload.run(on: disk, steps: 30)
        workload.model.acknowledge()
        let image = disk.crash(.keepUnsynced)
        let names = try image.list(LogWorkload.directory)
        let path = LogWorkload.directory + "/" + names[random.next(below: names.count)]
        let size = Int(try image.open(path, .read).size())
        let at = random.next(below: size)
        if random.chance(1, in: 3) {
            try image.open(path, .readWrite).truncate(to: Int64(at))
        } else {
            try image.flipBit(random.next(below: 8), at: Int64(at), of: path)
        }
        let context = "seed \(seed), damage at \(at) of \(path)"
        do {
            try read(image, workload, context)
        } catch let error as WALError {
            guard error.isRepairable else { return #expect("\(error)".contains("wal"), "\(context): \(error)") }
            #expect(try WriteAheadLog.repair(on: image, directory: LogWorkload.directory) != nil, "\(context)")
            do {
                try read(image, workload, context)
            } catch let error as WALError {
                // A segment cut at its very start cannot be used any more, and says so.
                #expect(!error.isRepairable, "\(context): \(error)")
            }
        }
    }

    /// Whatever can be read is a part of what was written.
    private func read(_ disk: SimDisk, _ workload: LogWorkload, _ context: String) throws {
        let snapshots = try WriteAheadLog.validSnapshots(on: disk, directory: LogWorkload.directory)
        guard let snapshot = snapshots.last else { return }
        let contents = try WriteAheadLog.open(
            on: disk, clock: StoppedClock(), directory: LogWorkload.directory, at: snapshot,
            options: LogWorkload.options
        ).contents
        let written = Set(workload.everIssued)
        #expect(contents.entries.allSatisfy(written.contains), "\(context)")
    }
}
