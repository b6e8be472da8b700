import Base
import Platform
import PlatformLinux
import Synchronization
import Testing

@Suite("Threads") struct ThreadTests {
    @Test("A wake-up before the sleep is not lost; two count as one; a deadline ends it")
    func parker() {
        let parker = Parker()
        let clock = LinuxClock()
        parker.unpark()
        parker.unpark()
        #expect(parker.park())
        let start = clock.now()
        #expect(!parker.park(until: start + .milliseconds(20)))
        #expect(clock.now() - start >= .milliseconds(20))
        #expect(!parker.park(until: start))
    }

    @Test("A parked thread wakes for each round of a ping-pong")
    func pingPong() throws {
        let here = Parker()
        let there = Parker()
        let rounds = 2000
        let handle = try spawnThread(named: "ping-pong-with-a-long-name") {
            for _ in 0..<rounds {
                there.park()
                here.unpark()
            }
        }
        for _ in 0..<rounds {
            there.unpark()
            #expect(here.park(until: LinuxClock().now() + .seconds(10)))
        }
        handle.join()
        handle.join()
    }

    @Test("A worker gets every element once and in order, and ends when it has worked through the rest")
    func worker() throws {
        let seen = Mutex<[Int]>([])
        let worker = try WorkerThread<Int>(
            named: "worker", limit: 100_000, threads: LinuxThreads(), clock: LinuxClock()
        ) { batch in
            seen.withLock { $0.append(contentsOf: batch) }
            return nil
        }
        for i in 0..<10_000 { #expect(worker.mailbox.post(i)) }
        worker.stop()
        #expect(!worker.mailbox.post(-1))
        #expect(seen.withLock { $0 } == Array(0..<10_000))
    }

    @Test("A worker is called again at the time that it asked for")
    func workerTimer() throws {
        let calls = Atomic<Int>(0)
        let done = Parker()
        let worker = try WorkerThread<Int>(named: "timer", limit: 1, threads: LinuxThreads(), clock: LinuxClock()) {
            _ in
            if calls.add(1, ordering: .relaxed).newValue == 5 {
                done.unpark()
                return nil
            }
            return LinuxClock().now() + .milliseconds(1)
        }
        #expect(worker.mailbox.post(1))
        #expect(done.park(until: LinuxClock().now() + .seconds(10)))
        worker.stop()
        #expect(calls.load(ordering: .relaxed) == 5)
    }
}
