public import Base

/// What an observer wants to know of a node, cheap enough for every loop.
public struct BasicStatus: Sendable, Hashable {
    public var id: MemberID
    public var hardState: HardState
    public var softState: SoftState
    public var applied: LogIndex
    /// To whom leadership is being handed over; none if it is not.
    public var transferee: MemberID
}

/// The same with membership and, on a leader, the progress of every member. Copies both.
public struct Status: Sendable {
    public var basic: BasicStatus
    public var configuration: Configuration
    /// Empty unless leader.
    public var progress: ProgressMap
}
