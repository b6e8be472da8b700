/// Why a member cannot start or cannot go on. The description is the line that the operator reads: what is wrong,
/// where, and what to do.
public struct MemberError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        /// The configuration contradicts itself or the data directory.
        case configuration
        /// The data directory cannot be used as it is.
        case dataDirectory
        /// Another process uses the data directory.
        case inUse
        /// A disk call failed.
        case disk
        /// What is on disk, or what a committed entry holds, is damaged.
        case corruption
        /// Something that etcd can and Martlet cannot yet.
        case unsupported
    }

    public var kind: Kind
    public var description: String

    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
