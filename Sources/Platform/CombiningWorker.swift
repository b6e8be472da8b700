public import Base
public import Synchronization

/// A state that works through a mailbox in turns, each taken on the thread of somebody who has brought something.
///
/// Who posts while the state is free takes the turn at once and on its own thread, so that nobody has to be woken for
/// it. Who posts while another has the state leaves the element to that one. This is flat combining (Hendler, Incze,
/// Shavit and Tzafrir, SPAA 2010). A thread of its own takes the turns that are due by the clock, and those whose
/// posters have something better to do.
///
/// Invariants:
/// 1. A turn runs under the lock of `turns`, so turns exclude one another and each sees what the one before it did.
/// 2. Who has given up the lock looks into the mailbox afterwards. An element whose poster found the lock taken was in
///    the mailbox before, so it is seen.
/// 3. The thread sleeps no longer than until the time at which the state wants its next turn.
///
/// Inlinable, because state and elements are of other modules and it would otherwise run unspecialised.
public final class CombiningWorker<State, Element: Sendable>: Sendable {
    /// Takes a turn with everything that has come in since the last one.
    /// - Returns: when to take the next one even if nothing comes in; nil for never.
    public typealias Turn = @Sendable (inout State, _ batch: inout [Element], TurnTaker) -> Instant?

    @usableFromInline let shared: SharedTurns<State, Element>
    @usableFromInline let thread: any RunningThread

    /// - Parameters:
    ///   - name: the thread's name, at most 15 bytes of it.
    ///   - limit: the most elements that may wait in the mailbox.
    ///   - state: nobody else may use it from here on.
    ///   - turnsInARow: how many turns a poster takes, for others from the second on, before the thread has to go on.
    ///   - turn: gets the state and everything that has come in since the last turn; also called, with an empty batch,
    ///     at the start and when the time that it asked for has come. It may leave elements in the batch; they are
    ///     dropped after the call. Returns when to call it again even if nothing comes in; nil for never.
    @inlinable public init(
        named name: String, limit: Int, threads: any Threads, clock: any Clock, state: sending State,
        turnsInARow: Int = 4, turn: @escaping Turn
    ) throws(DiskError) {
        let shared = SharedTurns(
            state: state, turn: turn, turnsInARow: turnsInARow, limit: limit, parker: threads.makeParker(),
            clock: clock)
        self.shared = shared
        thread = try threads.spawn(named: name) { shared.runThread() }
    }

    /// Posts an element. When the call returns, its turn may have been taken already, on this thread or another.
    /// - Returns: false, and keeps nothing, when the mailbox is full or the worker was stopped.
    @inlinable @discardableResult
    public func post(
        _ element: consuming sending Element, at place: TurnPlace = .here, as taker: TurnTaker = .busy
    ) -> Bool {
        post(contentsOf: CollectionOfOne(element), at: place, as: taker)
    }

    /// Posts all elements, in order, or none.
    @inlinable @discardableResult
    public func post(
        contentsOf batch: some Collection<Element>, at place: TurnPlace = .here, as taker: TurnTaker = .busy
    ) -> Bool {
        switch shared.mailbox.put(contentsOf: batch) {
        case .refused: return false
        case .behindOthers: return true
        case .first:
            switch place {
            case .here: shared.takeTurns(as: taker)
            case .thread: shared.parker.unpark()
            case .later: shared.isLeft.store(true, ordering: .relaxed)
            }
            return true
        }
    }

    /// Takes a turn for what was left to whoever comes next, unless somebody else is at it. What the thread has been
    /// woken for is its own.
    @inlinable public func help() {
        if shared.isLeft.load(ordering: .relaxed), shared.isLeft.exchange(false, ordering: .relaxed) {
            shared.takeTurns(as: .busy)
        }
    }

    /// Takes turns until nothing waits, after whoever is at it.
    @inlinable public func catchUp() { shared.takeTurnsToTheEnd() }

    /// Ends the thread and takes the state over, for good: turns for what waits, then `quiesce`, which ends whatever
    /// else posts, turns for what came from that, then `finish`; all on the calling thread. To be called once.
    @inlinable public func stop(quiesce: (inout State) -> Void, finish: (inout State) -> Void) {
        shared.stopping.store(true, ordering: .releasing)
        shared.parker.unpark()
        thread.join()
        shared.takeLastTurns(quiesce: quiesce, finish: finish)
    }
}

/// Where the turn for an element is to be taken.
@frozen public enum TurnPlace: Sendable {
    /// By the poster, unless somebody else is at it.
    case here
    /// By the worker's own thread, unless somebody else is at it.
    case thread
    /// By whoever comes next: the caller sees to it that somebody calls `help`.
    case later
}

/// What the thread that takes a turn can do for what the turn leaves behind.
@frozen public enum TurnTaker: Sendable {
    /// Has other things to do.
    case busy
    /// A poster who has nothing else to do. When the lock is free again, it attends to what was left.
    case idle
}

/// What the worker, its thread and the posters share.
@usableFromInline final class SharedTurns<State, Element: Sendable>: Sendable {
    @usableFromInline let mailbox: Mailbox<Element>
    @usableFromInline let parker: any Parking
    @usableFromInline let stopping = Atomic<Bool>(false)
    /// Something was posted for whoever comes next, and nobody has come yet.
    @usableFromInline let isLeft = Atomic<Bool>(false)
    @usableFromInline let clock: any Clock
    @usableFromInline let turns: Mutex<Turns<State, Element>>

    @usableFromInline let turnsInARow: Int

    @inlinable init(
        state: sending State,
        turn: @escaping CombiningWorker<State, Element>.Turn,
        turnsInARow: Int, limit: Int, parker: any Parking, clock: any Clock
    ) {
        self.turnsInARow = turnsInARow
        mailbox = Mailbox(limit: limit, wake: {})
        self.parker = parker
        self.clock = clock
        turns = Mutex(Turns(state: state, turn: turn))
    }

    /// Takes turns on a poster's thread until the mailbox is empty or somebody else is at it.
    @inlinable func takeTurns(as taker: TurnTaker) {
        for _ in 0..<turnsInARow {
            guard let isEarlier = turns.withLockIfAvailable({ $0.take(from: mailbox, as: taker) }) else { return }
            if isEarlier { parker.unpark() }
            if mailbox.isEmpty { return }
        }
        parker.unpark()
    }

    @inlinable func runThread() {
        while !stopping.load(ordering: .acquiring) {
            let due = turns.withLock { $0.takeOnThread(from: mailbox, at: clock.now()) }
            if mailbox.isEmpty { parker.park(until: due) }
        }
    }

    @inlinable func takeTurnsToTheEnd() {
        turns.withLock { turns in
            while !mailbox.isEmpty { _ = turns.take(from: mailbox, as: .busy) }
        }
    }

    @inlinable func takeLastTurns(quiesce: (inout State) -> Void, finish: (inout State) -> Void) {
        turns.withLock { turns in
            while !mailbox.isEmpty { _ = turns.take(from: mailbox, as: .busy) }
            quiesce(&turns.state)
            while !mailbox.isEmpty { _ = turns.take(from: mailbox, as: .busy) }
            mailbox.close()
            finish(&turns.state)
            turns.hasEnded = true
        }
    }
}

/// The state and what belongs to its turns; all of it under the lock.
@usableFromInline struct Turns<State, Element: Sendable> {
    @usableFromInline var state: State
    @usableFromInline let turn: CombiningWorker<State, Element>.Turn
    @usableFromInline var batch: [Element] = []
    /// When the state wants its next turn. The first one is due at once.
    @usableFromInline var due: Instant? = Instant(nanoseconds: 0)
    /// What the thread knows of `due`.
    @usableFromInline var threadDue: Instant?
    @usableFromInline var hasEnded = false

    @inlinable init(
        state: State,
        turn: @escaping CombiningWorker<State, Element>.Turn
    ) {
        self.state = state
        self.turn = turn
    }

    /// One turn for everything that waits; none when nothing does.
    /// - Returns: whether the thread has to be told of an earlier time.
    @inlinable mutating func take(
        from mailbox: Mailbox<Element>, as taker: TurnTaker
    ) -> Bool {
        if hasEnded { return false }
        mailbox.drain(into: &batch)
        if batch.isEmpty { return false }
        takeTurn(as: taker)
        guard let due, threadDue.map({ due < $0 }) ?? true else { return false }
        threadDue = due
        return true
    }

    /// One turn for everything that waits, or because it is due.
    /// - Returns: until when the thread may sleep.
    @inlinable mutating func takeOnThread(from mailbox: Mailbox<Element>, at now: Instant) -> Instant? {
        mailbox.drain(into: &batch)
        if !batch.isEmpty || due.map({ $0 <= now }) ?? false { takeTurn(as: .busy) }
        threadDue = due
        return due
    }

    @inlinable mutating func takeTurn(as taker: TurnTaker) {
        due = turn(&state, &batch, taker)
        batch.removeAll(keepingCapacity: true)
    }
}
