import MVCC
import NIOCore
import NIOPosix
import PeerTransport
import Platform
import PlatformLinux
import PlatformSim
import Synchronization
import TestSupport
import Testing

/// The two ends of a database between members: read ahead of a socket, and written behind one.
@Suite(.serialized) struct DatabasePassageTests {
    private static let threads: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 2)
        pool.start()
        return pool
    }()
    private let eventLoop: any EventLoop = TestPeer.group.next()

    private func onLoop<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await eventLoop.submit(body).get()
    }

    // MARK: Reading ahead

    /// A socket that takes as much as it is told to, and lets go of pieces when it is told to.
    private final class Outlet: DatabaseOutlet {
        var room = 0
        var bytes: [UInt8] = []
        var pieces: [Int] = []
        /// Where the pieces' memory was.
        var places: Set<Int> = []
        var unsent: [(ByteBuffer, EventLoopPromise<Void>)] = []
        var isComplete = false
        var failure: (any Error)?

        var isWritable: Bool { room > 0 }

        func write(_ piece: ByteBuffer, done: EventLoopPromise<Void>) {
            room -= 1
            pieces.append(piece.readableBytes)
            bytes.append(contentsOf: piece.readableBytesView)
            piece.withUnsafeReadableBytes { _ = places.insert(Int(bitPattern: $0.baseAddress)) }
            unsent.append((piece, done))
        }

        func sendAll() {
            let sent = unsent.map(\.1)
            unsent = []
            for promise in sent { promise.succeed(()) }
        }

        func wroteAll() { isComplete = true }
        func readingFailed(_ error: any Error) { failure = error }
    }

    private struct Reading: Sendable {
        let outlet: NIOLoopBound<Outlet>
        let reader: NIOLoopBound<DatabaseReadAhead>
    }

    private static let pieceBytes = 256 << 10

    private func reading(_ copy: BackendCopy) async throws -> Reading {
        let eventLoop = eventLoop
        return try await onLoop {
            let outlet = Outlet()
            let reader = DatabaseReadAhead(
                copy, into: outlet, pace: .init(pieceBytes: Self.pieceBytes) { _ in .zero }, threads: Self.threads,
                eventLoop: eventLoop)
            return Reading(
                outlet: NIOLoopBound(outlet, eventLoop: eventLoop), reader: NIOLoopBound(reader, eventLoop: eventLoop))
        }
    }

    private func withCopy(_ body: (BackendCopy) async throws -> Void) async throws {
        let file = try LargeBackend.make(at: "db", on: SimDisk())
        let copy = try file.beginCopy(named: "test")
        try await body(copy)
        copy.close()
        try file.close()
    }

    @Test func readsWhatTheSocketTakes() async throws {
        try await withCopy { copy in
            let expected = try copy.read(at: 0, count: Int(copy.size))
            let pieces = (expected.count + Self.pieceBytes - 1) / Self.pieceBytes
            try #require(pieces >= 8)
            let reading = try await reading(copy)
            var written = 0
            for _ in 0...pieces where try await !onLoop({ reading.outlet.value.isComplete }) {
                let before = written
                try await onLoop {
                    reading.outlet.value.room = 1
                    reading.reader.value.readOn()
                }
                #expect(
                    await eventually {
                        (try? await self.onLoop {
                            reading.outlet.value.pieces.count > before || reading.outlet.value.isComplete
                        }) == true
                    })
                // One piece more may be under way already; a socket that is full gets no further ones.
                try await Task.sleep(for: .milliseconds(20))
                written = try await onLoop {
                    reading.reader.value.readOn()
                    return reading.outlet.value.pieces.count
                }
                #expect(written - before <= 2)
                try await onLoop { reading.outlet.value.sendAll() }
            }
            #expect(try await onLoop { reading.outlet.value.isComplete })
            #expect(try await onLoop { reading.outlet.value.bytes } == expected)
            #expect(try await onLoop { reading.outlet.value.pieces.count } == pieces)
            // What the socket has let go of is used again.
            #expect(try await onLoop { reading.outlet.value.places.count } <= 4)
            #expect(try await onLoop { reading.reader.value.offset } == copy.size)
        }
    }

    /// What the socket still holds is not read into, which the bytes would show.
    @Test func memoryInUseIsLeftAlone() async throws {
        try await withCopy { copy in
            let expected = try copy.read(at: 0, count: Int(copy.size))
            let reading = try await reading(copy)
            try await onLoop {
                reading.outlet.value.room = .max
                reading.reader.value.readOn()
            }
            #expect(await eventually { (try? await self.onLoop { reading.outlet.value.isComplete }) == true })
            let held = try await onLoop {
                reading.outlet.value.unsent.reduce(into: [UInt8]()) { $0.append(contentsOf: $1.0.readableBytesView) }
            }
            #expect(held == expected)
            try await onLoop { reading.outlet.value.sendAll() }
        }
    }

    @Test func aCopyThatIsTakenAwayIsToldOf() async throws {
        try await withCopy { copy in
            let reading = try await reading(copy)
            copy.close()
            try await onLoop {
                reading.outlet.value.room = .max
                reading.reader.value.readOn()
            }
            #expect(await eventually { (try? await self.onLoop { reading.outlet.value.failure != nil }) == true })
            #expect(try await onLoop { reading.outlet.value.bytes.isEmpty && !reading.outlet.value.isComplete })
        }
    }

    // MARK: Writing behind

    private final class Log: Sendable {
        let pauses = Mutex<[Bool]>([])
        let failures = Mutex<[String]>([])
        let results = Mutex<[Result<DatabaseWriteBehind.Database, any Error>]>([])
        let endings = Mutex(0)

        var told: [Result<DatabaseWriteBehind.Database, any Error>] { results.withLock { $0 } }
    }

    private func writing(_ disk: any Disk, _ log: Log) async throws -> NIOLoopBound<DatabaseWriteBehind> {
        let eventLoop = eventLoop
        return try await onLoop {
            NIOLoopBound(
                DatabaseWriteBehind(
                    SnapshotStorage(disk: disk, directory: "snap"), number: 7, threads: Self.threads,
                    eventLoop: eventLoop, pause: { paused in log.pauses.withLock { $0.append(paused) } },
                    failed: { error in log.failures.withLock { $0.append("\(error)") } }),
                eventLoop: eventLoop)
        }
    }

    private func finish(_ writer: NIOLoopBound<DatabaseWriteBehind>, _ log: Log) async throws {
        try await onLoop {
            writer.value.finish { storage, file in
                log.endings.withLock { $0 += 1 }
                try storage.keep(file)
            } done: { result in
                log.results.withLock { $0.append(result) }
            }
        }
    }

    private func disk() throws -> SimDisk {
        let disk = SimDisk()
        try disk.createDirectory("snap")
        return disk
    }

    /// More than is synced at once, in chunks of any size.
    private static let content = (0..<20 as Range<UInt8>).flatMap { [UInt8](repeating: $0, count: 1 << 20) }
    private var content: [UInt8] { Self.content }

    private func take(_ bytes: ArraySlice<UInt8>, _ writer: NIOLoopBound<DatabaseWriteBehind>) async throws {
        let buffer = ByteBuffer(bytes: bytes)
        try await onLoop { writer.value.take(buffer) }
    }

    @Test func whatComesInIsWrittenAndSynced() async throws {
        let (disk, log) = (try disk(), Log())
        let writer = try await writing(disk, log)
        var start = 0
        var size = 1
        while start < content.count {
            let end = min(start + size, content.count)
            try await take(content[start..<end], writer)
            (start, size) = (end, size % (3 << 20) * 3 + 1)
        }
        try await finish(writer, log)
        #expect(await eventually { log.told.count == 1 })
        let database = try #require(try log.told.first?.get())
        #expect(database.path == "snap/tmp7" && database.bytes == Int64(content.count))
        #expect(try disk.contents(of: "snap/tmp7") == content)
        // Before the end, and at the end.
        #expect(disk.syncCount >= 2)
        let pauses = log.pauses.withLock { $0 }
        #expect(pauses.count.isMultiple(of: 2) && zip(pauses, pauses.dropFirst()).allSatisfy { $0 != $1 }, "\(pauses)")
        #expect(log.failures.withLock { $0 }.isEmpty)
    }

    /// One chunk of more than may wait: the sender pauses until it has been written.
    @Test func theSenderWaitsForTheDisk() async throws {
        let (disk, log) = (try disk(), Log())
        let writer = try await writing(disk, log)
        try await take(content[..<(PeerLimits.snapshotBufferBytes - 1)], writer)
        #expect(log.pauses.withLock { $0 }.isEmpty)
        try await take(content[..<PeerLimits.snapshotBufferBytes], writer)
        #expect(await eventually { log.pauses.withLock { $0.last } == false })
        #expect(log.pauses.withLock { $0 } == [true, false])
        try await onLoop { writer.value.discard() }
        #expect(await eventually { (try? disk.exists("snap/tmp7")) == false })
    }

    struct DiskFailure: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var fault: Fault
        /// Whether it shows before the end.
        var isEarly: Bool
    }

    @Test(arguments: [
        DiskFailure(testDescription: "no file", fault: Fault(.open, path: "tmp7", .fail(.noSpace)), isEarly: true),
        DiskFailure(
            testDescription: "the first write", fault: Fault(.write, path: "tmp7", .fail(.noSpace)), isEarly: true),
        DiskFailure(
            testDescription: "a write under way",
            fault: Fault(.write, path: "tmp7", after: 3, .failAfter(bytes: 100, .noSpace)), isEarly: true),
        DiskFailure(
            testDescription: "the first sync", fault: Fault(.sync, path: "tmp7", .fail(.io)), isEarly: true),
        DiskFailure(
            testDescription: "the last sync", fault: Fault(.sync, path: "tmp7", .fail(.io)), isEarly: false),
    ]) func aDiskThatFailsIsToldOfOnceAndNothingStays(_ failure: DiskFailure) async throws {
        let (disk, log) = (try disk(), Log())
        let writer = try await writing(disk, log)
        if failure.isEarly { disk.inject(failure.fault) }
        for start in stride(from: 0, to: content.count, by: 1 << 20) {
            guard failure.isEarly || start < PeerLimits.snapshotSyncBytes / 2 else { break }
            try await take(content[start..<start + 1 << 20], writer)
            if start == 4 << 20 {
                // So that there is a write of its own behind it.
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        if failure.isEarly {
            #expect(await eventually { log.failures.withLock { $0.count } == 1 })
            try await take(content[..<10], writer)
            try await finish(writer, log)
        } else {
            disk.inject(failure.fault)
            try await finish(writer, log)
            #expect(await eventually { log.told.count == 1 })
            #expect(throws: DiskError.self) { _ = try log.told[0].get() }
        }
        #expect(await eventually { (try? disk.exists("snap/tmp7")) == false })
        #expect(log.failures.withLock { $0.count } == (failure.isEarly ? 1 : 0))
        #expect(log.told.count == (failure.isEarly ? 0 : 1))
    }

    @Test func nothingIsNoDatabase() async throws {
        let (disk, log) = (try disk(), Log())
        let writer = try await writing(disk, log)
        try await finish(writer, log)
        #expect(await eventually { log.told.count == 1 })
        #expect(throws: DatabaseWriteBehind.Missing.self) { _ = try log.told[0].get() }
        #expect(log.endings.withLock { $0 } == 0)
        #expect(try disk.list("snap").isEmpty)
    }
}
