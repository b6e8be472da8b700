import Base
import Glibc
import Platform
import PlatformLinux
import Synchronization
import Testing

@Suite("CombiningWorker") struct CombiningWorkerTests {
    /// What the turns have seen.
    private struct Ledger {
        var seen: [Int] = []
        var threads: [UInt] = []
        var turns = 0
        var takers: [Bool] = []
    }

    private typealias Worker = CombiningWorker<Ledger, Int>

    private static var thread: UInt { UInt(pthread_self()) }

    /// A worker whose first turn, which its thread takes, is over.
    private func started(
        limit: Int = 100_000, turn: @escaping @Sendable (inout Ledger) -> Instant? = { _ in nil }
    ) throws -> Worker {
        let begun = Parker()
        let worker = try Worker(
            named: "combining", limit: limit, threads: LinuxThreads(), clock: LinuxClock(), state: Ledger()
        ) { ledger, batch, taker in
            ledger.turns += 1
            if ledger.turns == 1 { begun.unpark() }
            ledger.seen += batch
            ledger.threads += batch.map { _ in Self.thread }
            ledger.takers += batch.map { _ in taker == .idle }
            return turn(&ledger)
        }
        #expect(begun.park(until: LinuxClock().now() + .seconds(10)))
        return worker
    }

    private func ledger(_ worker: Worker) -> Ledger {
        var ledger = Ledger()
        worker.stop(quiesce: { _ in }, finish: { ledger = $0 })
        return ledger
    }

    @Test("Elements of many threads are seen once each, those of one thread in order")
    func manyPosters() throws {
        let (posters, count) = (4, 20_000)
        let worker = try started()
        let threads = try (0..<posters).map { poster in
            try spawnThread(named: "poster") {
                for i in 0..<count {
                    while !worker.post(poster * count + i, at: i % 3 == 0 ? .thread : .here) {}
                }
            }
        }
        for thread in threads { thread.join() }
        let seen = ledger(worker).seen
        #expect(seen.count == posters * count)
        for poster in 0..<posters {
            #expect(seen.filter { $0 / count == poster } == Array(poster * count..<(poster + 1) * count))
        }
    }

    @Test("Who finds the state free takes the turn on its own thread")
    func ownThread() throws {
        let own = Self.thread
        let seenBy = Mutex<UInt>(0)
        let worker = try started { ledger in
            seenBy.withLock { $0 = ledger.threads.last ?? 0 }
            return nil
        }
        let limit = LinuxClock().now() + .seconds(10)
        var posted = 0
        var isSeen = false
        // The worker's thread may be at it for the first few, and for more on a busy machine.
        while !isSeen && LinuxClock().now() < limit {
            #expect(worker.post(posted, as: posted % 2 == 0 ? .idle : .busy))
            posted += 1
            isSeen = seenBy.withLock { $0 == own }
        }
        #expect(isSeen)
        let ledger = ledger(worker)
        #expect(ledger.seen == Array(0..<posted))
        for i in 0..<posted where ledger.threads[i] == own { #expect(ledger.takers[i] == (i % 2 == 0)) }
    }

    @Test("What is left to the thread is not done by the poster")
    func otherThread() throws {
        let done = Parker()
        let worker = try started { ledger in
            if ledger.seen.count == 1 { done.unpark() }
            return nil
        }
        #expect(worker.post(7, at: .thread))
        #expect(done.park(until: LinuxClock().now() + .seconds(10)))
        let ledger = ledger(worker)
        #expect(ledger.seen == [7])
        #expect(ledger.threads.first != Self.thread)
    }

    @Test("What is left for later is done by who helps, or at the end")
    func later() throws {
        let worker = try started()
        #expect(worker.post(1, at: .later))
        worker.help()
        worker.catchUp()
        #expect(worker.post(2, at: .later))
        let ledger = ledger(worker)
        #expect(ledger.seen == [1, 2])
        #expect(ledger.threads.last == Self.thread)
    }

    @Test("Who helps leaves alone what the thread has been woken for")
    func helpIsForWhatWasLeft() throws {
        let done = Parker()
        let worker = try started { ledger in
            if ledger.seen.count == 200 { done.unpark() }
            return nil
        }
        for i in 0..<200 {
            #expect(worker.post(i, at: .thread))
            worker.help()
        }
        #expect(done.park(until: LinuxClock().now() + .seconds(10)))
        let ledger = ledger(worker)
        #expect(ledger.seen == Array(0..<200))
        #expect(!ledger.threads.contains(Self.thread))
    }

    @Test("The thread takes the turn that is due, also when a poster's turn has set the time")
    func timer() throws {
        let done = Parker()
        let worker = try started { ledger in
            if ledger.turns >= 3 { done.unpark() }
            return ledger.turns == 2 ? LinuxClock().now() + .milliseconds(1) : nil
        }
        #expect(worker.post(1))
        #expect(done.park(until: LinuxClock().now() + .seconds(10)))
        let ledger = ledger(worker)
        #expect(ledger.turns == 3)
        #expect(ledger.seen == [1])
    }

    @Test("The end: what waits is done, then what quiescing brings, and then nothing more is taken")
    func stop() throws {
        let worker = try started(limit: 2)
        #expect(worker.post(1, at: .later) && worker.post(2, at: .later))
        #expect(!worker.post(3, at: .later))
        var order: [[Int]] = []
        worker.stop(
            quiesce: {
                order.append($0.seen)
                #expect(worker.post(4))
            }, finish: { order.append($0.seen) })
        #expect(order == [[1, 2], [1, 2, 4]])
        #expect(!worker.post(5))
    }
}
