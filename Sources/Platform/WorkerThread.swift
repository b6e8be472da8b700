public import Base
internal import Synchronization

/// A thread that works through a mailbox.
///
/// Its body gets everything that has come in since the last turn, in one batch, and is also called, with an empty
/// batch, when the time that it asked for has come.
public final class WorkerThread<Element: Sendable>: Sendable {
    public let mailbox: Mailbox<Element>
    private let parker: any Parking
    private let stopping: StopFlag
    private let thread: any RunningThread

    /// - Parameters:
    ///   - name: the thread's name, at most 15 bytes of it.
    ///   - limit: the most elements that may wait in the mailbox.
    ///   - body: runs on the thread, which owns what it captured. It may leave elements in the batch; they are dropped
    ///     after the call. Returns when to call it again even if nothing comes in; nil for never.
    public init(
        named name: String, limit: Int, threads: any Threads, clock: any Clock,
        body: sending @escaping (_ batch: inout [Element]) -> Instant?
    ) throws(DiskError) {
        let parker = threads.makeParker()
        let mailbox = Mailbox<Element>(limit: limit, wake: { parker.unpark() })
        let stopping = StopFlag()
        self.parker = parker
        self.mailbox = mailbox
        self.stopping = stopping
        thread = try threads.spawn(named: name) {
            WorkerThread.run(mailbox, parker, stopping, clock, body)
        }
    }

    private static func run(
        _ mailbox: Mailbox<Element>, _ parker: any Parking, _ stopping: StopFlag, _ clock: any Clock,
        _ body: (inout [Element]) -> Instant?
    ) {
        var batch: [Element] = []
        var next: Instant? = body(&batch)
        while true {
            // Read before the drain: once it is set nothing more comes in, so an empty mailbox is then the end.
            let stops = stopping.isSet
            mailbox.drain(into: &batch)
            if !batch.isEmpty {
                next = body(&batch)
                batch.removeAll(keepingCapacity: true)
                continue
            }
            if stops { return }
            if let due = next, due <= clock.now() {
                next = body(&batch)
                batch.removeAll(keepingCapacity: true)
            } else {
                parker.park(until: next)
            }
        }
    }

    /// Refuses further elements, lets the body work through what waits, and waits for the thread to end.
    public func stop() {
        mailbox.close()
        stopping.set()
        parker.unpark()
        thread.join()
    }
}

/// Set once, seen by all threads.
private final class StopFlag: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}
