internal import Glibc
public import Platform
internal import Synchronization

/// A running kernel thread. `join` must be called once before it goes away, or the thread is left to itself.
public final class ThreadHandle: RunningThread, @unchecked Sendable {
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

/// Threads of the kernel, parked on condition variables.
public struct LinuxThreads: Threads {
    public init() {}

    public func makeParker() -> any Parking { Parker() }

    public func spawn(named name: String, body: sending @escaping () -> Void) throws(DiskError) -> any RunningThread {
        try spawnThread(named: name, body: body)
    }
}
