public import Base

/// What an observer wants to know of a node, cheap enough for every loop.
public struct BasicStatus: Sendable, Hashable {
    /// Who the node is.
    public var id: MemberID
    /// Its term, vote and commit index; not all of it may be durable yet.
    public var hardState: HardState
    /// Its role, and whom it follows.
    public var softState: SoftState
    /// How far the application has applied the log.
    public var applied: LogIndex
    /// To whom leadership is being handed over; none if it is not.
    public var transferee: MemberID
}

/// The same with membership and, on a leader, the progress of every member. Copies both.
public struct Status: Sendable {
    /// What is cheap to know.
    public var basic: BasicStatus
    /// The membership in force.
    public var configuration: Configuration
    /// Empty unless leader.
    public var progress: ProgressMap
}
