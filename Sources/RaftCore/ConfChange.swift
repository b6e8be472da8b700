public import Base

/// What a configuration change does to one node. The raw values are raftpb's.
public enum ConfChangeType: UInt8, Sendable, Hashable {
    case addNode = 0
    case removeNode = 1
    /// Changes nothing in the configuration; carries information about a member in the context.
    case updateNode = 2
    case addLearnerNode = 3
}

public struct ConfChangeSingle: Sendable, Hashable {
    public var type: ConfChangeType
    public var nodeID: MemberID

    @inlinable public init(_ type: ConfChangeType, _ nodeID: MemberID) {
        self.type = type
        self.nodeID = nodeID
    }
}

/// How a change of several voters passes through a joint configuration. The raw values are raftpb's.
public enum ConfChangeTransition: UInt8, Sendable, Hashable {
    /// Joint only if needed, and then left by itself.
    case auto = 0
    /// Joint, and left by itself.
    case jointImplicit = 1
    /// Joint until an empty change is proposed.
    case jointExplicit = 2
}

/// A configuration change of the first form: one node, one step.
public struct ConfChange: Sendable, Hashable {
    /// The application's number for the request; raft does not look at it.
    public var id: UInt64
    public var type: ConfChangeType
    public var nodeID: MemberID
    public var context: [UInt8]

    @inlinable public init(id: UInt64 = 0, type: ConfChangeType, nodeID: MemberID, context: [UInt8] = []) {
        self.id = id
        self.type = type
        self.nodeID = nodeID
        self.context = context
    }
}

/// A configuration change of the second form: any number of nodes, through a joint configuration where needed.
///
/// Without changes and with an automatic transition it leaves the joint configuration. See the Raft thesis, 4.3.
public struct ConfChangeV2: Sendable, Hashable {
    public var transition: ConfChangeTransition
    public var changes: [ConfChangeSingle]
    public var context: [UInt8]

    @inlinable public init(
        transition: ConfChangeTransition = .auto, changes: [ConfChangeSingle] = [], context: [UInt8] = []
    ) {
        self.transition = transition
        self.changes = changes
        self.context = context
    }

    @inlinable public init(_ change: ConfChange) {
        self.init(changes: [ConfChangeSingle(change.type, change.nodeID)], context: change.context)
    }

    var leavesJoint: Bool { transition == .auto && changes.isEmpty }
    var entersJoint: Bool { transition != .auto || changes.count > 1 }
    var autoLeave: Bool { transition != .jointExplicit }
}

/// Why the data of an entry is no configuration change.
public enum ConfChangeDecodingError: Error, Hashable {
    case truncated(offset: Int)
    /// A tag with field number zero or an unknown wire type.
    case badTag(offset: Int)
    /// A varint of more than ten bytes.
    case varintTooLong(offset: Int)
    /// A value that is not in the enumeration.
    case unknownValue(field: String, value: UInt64)
}

extension ConfChangeDecodingError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .truncated(let offset): "configuration change: ends early at byte \(offset)"
        case .badTag(let offset): "configuration change: bad field tag at byte \(offset)"
        case .varintTooLong(let offset): "configuration change: varint too long at byte \(offset)"
        case .unknownValue(let field, let value): "configuration change: unknown \(field) \(value)"
        }
    }
}
