public import Base

/// Makes IDs for requests that are unique in the cluster: the low 16 bits of the member's ID, 40 bits of its start time
/// in milliseconds, and an 8-bit counter, the last 48 counted on as one number. (docs/formats/backend.md, "IDs")
public struct RequestIDGenerator: Sendable {
    private let prefix: UInt64
    private var suffix: UInt64

    private static let suffixMask: UInt64 = (1 << 48) - 1

    /// - Parameter unixMilliseconds: when the member started; later than the last ID's time of an earlier start.
    public init(member: MemberID, unixMilliseconds: Int64) {
        prefix = (member.rawValue & 0xFFFF) << 48
        suffix = (UInt64(bitPattern: unixMilliseconds) << 8) & Self.suffixMask
    }

    /// The next ID; never 0 for a member whose low 16 bits are not all 0.
    public mutating func next() -> UInt64 {
        suffix = (suffix + 1) & Self.suffixMask
        return prefix | suffix
    }
}
