internal import Glibc
public import Platform
internal import Synchronization

/// Lets one thread sleep until another wakes it.
///
/// A wake-up that comes before the sleep is not lost: the next `park` returns at once. Several wake-ups before a `park`
/// count as one. Waking a thread that does not sleep costs one atomic exchange.
public final class Parker: Parking, @unchecked Sendable {
    private static let empty: UInt8 = 0
    private static let notified: UInt8 = 1
    private static let parked: UInt8 = 2

    private let state = Atomic<UInt8>(Parker.empty)
    // SAFETY: allocated in init, freed in deinit, never moved between; used only through the pthread calls, which
    // synchronize themselves.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    public init() {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // Deadlines must not move when somebody sets the wall clock.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        let made = pthread_mutex_init(mutex, nil) == 0 && pthread_cond_init(condition, &attributes) == 0
        pthread_condattr_destroy(&attributes)
        precondition(made, "pthread_mutex_init, pthread_cond_init")
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Sleeps until `unpark` or until `deadline` on `LinuxClock`; without a deadline as long as it takes.
    /// Only one thread may park.
    /// - Returns: whether it was `unpark` that ended the sleep.
    @discardableResult
    public func park(until deadline: Instant? = nil) -> Bool {
        if consumeNotification() { return true }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let (sleeps, _) = state.compareExchange(
            expected: Parker.empty, desired: Parker.parked, ordering: .acquiringAndReleasing)
        guard sleeps else { return state.exchange(Parker.empty, ordering: .acquiring) == Parker.notified }
        var limit = timespec()
        if let deadline {
            limit.tv_sec = Int(deadline.nanoseconds / 1_000_000_000)
            limit.tv_nsec = Int(deadline.nanoseconds % 1_000_000_000)
        }
        while true {
            let result =
                deadline == nil
                ? pthread_cond_wait(condition, mutex) : pthread_cond_timedwait(condition, mutex, &limit)
            if consumeNotification() { return true }
            if result == ETIMEDOUT { return state.exchange(Parker.empty, ordering: .acquiring) == Parker.notified }
        }
    }

    /// Wakes the parked thread, or spares it its next `park`.
    public func unpark() {
        guard state.exchange(Parker.notified, ordering: .acquiringAndReleasing) == Parker.parked else { return }
        // Taking the mutex once makes sure that the sleeper is inside the wait and not just before it.
        pthread_mutex_lock(mutex)
        pthread_mutex_unlock(mutex)
        pthread_cond_signal(condition)
    }

    private func consumeNotification() -> Bool {
        state.compareExchange(expected: Parker.notified, desired: Parker.empty, ordering: .acquiringAndReleasing)
            .exchanged
    }
}
