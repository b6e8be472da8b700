internal import Base
internal import Foundation
internal import MVCC
internal import Platform
internal import PlatformLinux
internal import Synchronization

/// Writes a batch on a thread of its own, as a member does.
private final class Committer: Sendable {
    private struct State {
        var batch: CommitBatch?
        var result: CommitResult?
        var timings = Timings()
        var failure: BackendError?
    }

    private let state = Mutex(State())
    private let file: BackendFile
    private let wake = DispatchSemaphore(value: 0)

    init(_ file: BackendFile) {
        self.file = file
        Thread.detachNewThread { [self] in
            while true {
                wake.wait()
                guard let batch = state.withLock({ $0.batch }) else { return }
                var timings = Timings()
                do throws(BackendError) {
                    let result = try timings.measure { () throws(BackendError) in try batch.write(to: file) }
                    state.withLock { state in
                        state.batch = nil
                        state.result = result
                        state.timings.append(timings)
                    }
                } catch {
                    state.withLock { $0.failure = error }
                }
            }
        }
    }

    func start(_ batch: CommitBatch) {
        state.withLock { $0.batch = batch }
        wake.signal()
    }

    /// The result of the batch that was started, once.
    func takeResult() throws -> CommitResult? {
        try state.withLock { state in
            if let failure = state.failure { throw failure }
            defer { state.result = nil }
            return state.result
        }
    }

    func takeTimings() -> Timings {
        state.withLock { state in
            defer { state.timings = Timings() }
            return state.timings
        }
    }
}

/// What a put waits for, and what goes on beside it.
private struct LoopTimings {
    var synced = Timings()
    var applied = Timings()
    var turns = Timings()
    var commits = Timings()

    var longest: String {
        "sync \(synced.longest), put \(applied.longest), turn \(turns.longest), commit \(commits.longest)"
    }

    mutating func append(_ other: LoopTimings) {
        synced.append(other.synced)
        applied.append(other.applied)
        turns.append(other.turns)
        commits.append(other.commits)
    }
}

/// A member's loop without the rest of the member: puts that come at fixed times, each synced to a log file first; a
/// commit every 100 ms; slices of the compaction with pauses of 1 ms.
private final class Loop {
    let store: Store
    private let committer: Committer
    private let log: any DiskFile
    private var logPosition: Int64 = 0
    private var random = SeededGenerator(seed: 7)
    private var nextCommit = DispatchTime.now().uptimeNanoseconds
    private var nextSlice = DispatchTime.now().uptimeNanoseconds
    static let keys = 50_000
    private let value = [UInt8](repeating: 0x76, count: 1000)
    private var puts = 0

    init(_ scratch: Scratch) throws {
        store = try Store(scratch.path + "/db")
        committer = Committer(store.file)
        log = try LinuxDisk().open(scratch.path + "/log", .create)
        try log.allocate(upTo: 64 << 20)
    }

    /// Bytes of the rows that can be read: each key's last one, and all since the compaction.
    var liveBytes: Int { (Loop.keys + puts) * (17 + 16 + 30 + value.count) }

    func compact() throws {
        try store.keyValues.compact(store.keyValues.currentRevision)
        store.advance()
        puts = 0
    }

    func put() throws {
        puts += 1
        var value = value
        value[0] = UInt8(truncatingIfNeeded: random.next())
        try store.put(Array("key/\(random.next(below: Loop.keys))".utf8), value)
    }

    /// As many puts as fit, committed when they are due.
    func fill(_ puts: Int) throws {
        for i in 0..<puts {
            try put()
            if i % batchSize == 0 { try store.commit() }
        }
        try store.commit()
    }

    /// `rate` puts a second for some seconds.
    func run(seconds: Int, rate: Int, _ eachSecond: (Int) throws -> Void) throws {
        var all = LoopTimings()
        var part = LoopTimings()
        let start = DispatchTime.now().uptimeNanoseconds
        var done = 0
        for second in 0..<seconds {
            while done < (second + 1) * rate {
                let due = start + UInt64(done) * 1_000_000_000 / UInt64(rate)
                let now = DispatchTime.now().uptimeNanoseconds
                if now >= due {
                    try part.synced.measure {
                        try log.write([UInt8](repeating: 1, count: 1100).span.bytes, at: logPosition)
                        logPosition = (logPosition + 1100) % (60 << 20)
                        try log.syncData()
                    }
                    try part.applied.measure { try put() }
                    done += 1
                }
                try part.turns.measure { try turn() }
                if now < due { usleep(100) }
            }
            try eachSecond(second)
            if second % 5 == 4 || second == seconds - 1 {
                part.commits = committer.takeTimings()
                print("  until \(second + 1) s, longest: \(part.longest)")
                all.append(part)
                part = LoopTimings()
            }
        }
        print("  log write and sync: \(all.synced.summary)")
        print("  put: \(all.applied.summary)")
        print("  rest of the loop's turn: \(all.turns.summary)")
        print("  commits on their thread: \(all.commits.summary)")
    }

    private func turn() throws {
        let now = DispatchTime.now().uptimeNanoseconds
        let backend = store.keyValues.backend
        if backend.isCommitting, let result = try committer.takeResult() { backend.committed(result) }
        if now >= nextSlice, store.keyValues.isCompacting {
            nextSlice = now + 1_000_000
            _ = try store.keyValues.compactStep()
        }
        if now >= nextCommit || backend.needsCommit, let batch = backend.freeze() {
            nextCommit = now + 100_000_000
            committer.start(batch)
        }
    }
}

/// Writes 1 GiB over a working set of 50 MiB, compacts, and goes on at 100 puts a second.
func measureReclaim(_ scratch: Scratch, seconds: Int) throws {
    let loop = try Loop(scratch)
    let path = scratch.path + "/db"
    try loop.fill((1 << 30) / 1000)
    print("file after 1 GiB of puts: \(try fileSize(path)) bytes")
    print("before the compaction:")
    try loop.run(seconds: 10, rate: 100) { _ in }
    try loop.compact()
    print("from the compaction on:")
    var reached: Int?
    try loop.run(seconds: seconds, rate: 100) { second in
        let size = try fileSize(path)
        if size < loop.liveBytes * 3 / 2, reached == nil { reached = second + 1 }
        if second % 5 == 4 {
            let backend = loop.store.keyValues.backend
            print(
                "  after \(second + 1) s: live \(loop.liveBytes), file \(size), in use \(backend.sizeInUse), "
                    + "compacting: \(loop.store.keyValues.isCompacting)")
        }
    }
    print("file below 1.5 times the live bytes after: \(reached.map { "\($0) s" } ?? "never")")
    let problems = try loop.store.file.check()
    precondition(problems.isEmpty)
}
