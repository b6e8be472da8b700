/// The life of one stream that this member reads: dialled, attached, lost, dialled again, for as long as the peer is a
/// member. A state machine; whoever drives it opens the sockets and keeps the time.
package struct StreamDial: Sendable {
    package enum State: Equatable, Sendable {
        case idle
        /// A request is under way; its number tells a late answer from the current one.
        case dialling(attempt: Int)
        case attached(attempt: Int)
        /// The next dial is due when the time is over.
        case waiting(attempt: Int)
        case stopped
    }

    package enum Action: Equatable, Sendable {
        case nothing
        case dial(attempt: Int)
        /// Dial again after the redial interval.
        case wait(attempt: Int)
        /// Hang up.
        case close
    }

    package private(set) var state = State.idle

    package init() {}

    package var isAttached: Bool {
        if case .attached = state { true } else { false }
    }

    package mutating func start() -> Action {
        guard case .idle = state else { return .nothing }
        return dial(1)
    }

    private mutating func dial(_ attempt: Int) -> Action {
        state = .dialling(attempt: attempt)
        return .dial(attempt: attempt)
    }

    /// The peer has accepted the request.
    package mutating func accepted(_ attempt: Int) {
        guard state == .dialling(attempt: attempt) else { return }
        state = .attached(attempt: attempt)
    }

    /// The dial has failed, was refused, or the stream is lost. What an earlier attempt still reports is passed over.
    package mutating func lost(_ attempt: Int) -> Action {
        guard state == .dialling(attempt: attempt) || state == .attached(attempt: attempt) else { return .nothing }
        state = .waiting(attempt: attempt)
        return .wait(attempt: attempt)
    }

    /// The redial interval is over.
    package mutating func waited(_ attempt: Int) -> Action {
        guard state == .waiting(attempt: attempt) else { return .nothing }
        return dial(attempt + 1)
    }

    package mutating func stop() -> Action {
        defer { state = .stopped }
        switch state {
        case .dialling, .attached: return .close
        case .idle, .waiting, .stopped: return .nothing
        }
    }
}
