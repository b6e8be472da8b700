/// Lets one thread sleep until another wakes it.
///
/// A wake-up that comes before the sleep is not lost: the next `park` returns at once. Several wake-ups before a `park`
/// count as one.
public protocol Parking: Sendable {
    /// Sleeps until `unpark` or until `deadline`; without a deadline as long as it takes. Only one thread may park.
    /// - Returns: whether it was `unpark` that ended the sleep.
    @discardableResult
    func park(until deadline: Instant?) -> Bool
    /// Wakes the parked thread, or spares it its next `park`.
    func unpark()
}

/// A running kernel thread.
public protocol RunningThread: Sendable {
    /// Waits until the thread's body has returned. Calls after the first return at once. Traps on the thread itself.
    func join()
}

/// Where threads come from.
public protocol Threads: Sendable {
    func makeParker() -> any Parking
    /// Starts a thread that runs `body`.
    /// - Parameters:
    ///   - name: shown by `top -H` and debuggers; the kernel keeps 15 bytes.
    ///   - body: takes with it what it captured; nobody else may use that.
    func spawn(named name: String, body: sending @escaping () -> Void) throws(DiskError) -> any RunningThread
}
