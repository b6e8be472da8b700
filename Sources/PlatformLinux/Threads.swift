public import Base
internal import Glibc
public import Platform
internal import Synchronization

/// A running kernel thread. `join` must be called once before it goes away, or the thread is left to itself.
public final class ThreadHandle: @unchecked Sendable {
    // SAFETY: `thread` is set once before the handle is handed out; `joined` is atomic.
    private let thread: pthread_t
    private let joined = Atomic<Bool>(false)

    fileprivate init(_ thread: pthread_t) { self.thread = thread }

    deinit {
        if !joined.load(ordering: .relaxed) { pthread_detach(thread) }
    }

    /// Waits until the thread's body has returned. Calls after the first return at once. Traps on the thread itself.
    public func join() {
        precondition(pthread_equal(thread, pthread_self()) == 0, "a thread cannot wait for itself")
        if joined.exchange(true, ordering: .relaxed) { return }
        let result = pthread_join(thread, nil)
        precondition(result == 0, "pthread_join: \(result)")
    }
}

/// What a new thread gets, and gives back when it is done.
private final class ThreadStart {
    let name: String
    let body: () -> Void

    init(name: String, body: @escaping () -> Void) {
        self.name = name
        self.body = body
    }
}

/// Starts a thread that runs `body`.
/// - Parameters:
///   - name: shown by `top -H` and debuggers; the kernel keeps 15 bytes.
///   - body: takes with it what it captured; nobody else may use that.
/// - Throws: `.system` with `EAGAIN` as `.locked` when the process may have no more threads.
public func spawnThread(named name: String, body: sending @escaping () -> Void) throws(DiskError) -> ThreadHandle {
    let start = Unmanaged.passRetained(ThreadStart(name: name, body: body))
    var thread = pthread_t()
    // SAFETY: the pointer is the retained ThreadStart above; the new thread takes over that one reference.
    let result = pthread_create(
        &thread, nil,
        { raw in
            guard let raw else { return nil }
            let start = Unmanaged<ThreadStart>.fromOpaque(raw).takeRetainedValue()
            nameCurrentThread(start.name)
            start.body()
            return nil
        }, start.toOpaque())
    guard result == 0 else {
        start.release()
        throw systemError(result, "pthread_create", name)
    }
    return ThreadHandle(thread)
}

/// By way of `/proc`: the Swift import of pthread.h leaves `pthread_setname_np` out. A thread without a name works too.
private func nameCurrentThread(_ name: String) {
    guard let file = try? LinuxDisk().open("/proc/thread-self/comm", .readWrite) else { return }
    let bytes = Array(name.utf8.prefix(15))
    try? file.write(bytes.span.bytes, at: 0)
}

/// A thread that works through a mailbox.
///
/// Its body gets everything that has come in since the last turn, in one batch, and is also called, with an empty batch,
/// when the time that it asked for has come.
public final class WorkerThread<Element: Sendable>: Sendable {
    public let mailbox: Mailbox<Element>
    private let parker: Parker
    private let stopping: StopFlag
    private let handle: ThreadHandle

    /// - Parameters:
    ///   - name: the thread's name, at most 15 bytes of it.
    ///   - limit: the most elements that may wait in the mailbox.
    ///   - body: runs on the thread, which owns what it captured. It may leave elements in the batch; they are dropped
    ///     after the call. Returns when to call it again even if nothing comes in; nil for never.
    public init(
        named name: String, limit: Int, body: sending @escaping (_ batch: inout [Element]) -> Instant?
    ) throws(DiskError) {
        let parker = Parker()
        let mailbox = Mailbox<Element>(limit: limit, wake: { parker.unpark() })
        let stopping = StopFlag()
        self.parker = parker
        self.mailbox = mailbox
        self.stopping = stopping
        handle = try spawnThread(named: name) {
            WorkerThread.run(mailbox, parker, stopping, body)
        }
    }

    private static func run(
        _ mailbox: Mailbox<Element>, _ parker: Parker, _ stopping: StopFlag, _ body: (inout [Element]) -> Instant?
    ) {
        let clock = LinuxClock()
        var batch: [Element] = []
        var next: Instant?
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

    /// Wakes the thread as a post does, without an element; its body is called only if it has asked for a time.
    public func wake() { parker.unpark() }

    /// Refuses further elements, lets the body work through what waits, and waits for the thread to end.
    public func stop() {
        mailbox.close()
        stopping.set()
        parker.unpark()
        handle.join()
    }
}

/// Set once, seen by all threads.
final class StopFlag: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}
