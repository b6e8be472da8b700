public import Base

/// What a configuration change does to one node. The raw values are raftpb's.
public enum ConfChangeType: UInt8, Sendable, Hashable {
    /// Adds a voter, or makes a learner one.
    case addNode = 0
    /// Removes a member.
    case removeNode = 1
    /// Changes nothing in the configuration; carries information about a member in the context.
    case updateNode = 2
    /// Adds a learner, or makes a voter one.
    case addLearnerNode = 3
}

/// What happens to one node as part of a configuration change.
public struct ConfChangeSingle: Sendable, Hashable {
    /// What happens.
    public var type: ConfChangeType
    /// To whom; a change of nobody is skipped.
    public var nodeID: MemberID

    /// What happens, and to whom.
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
    /// What happens to the node.
    public var type: ConfChangeType
    /// The node; a change of nobody is skipped.
    public var nodeID: MemberID
    /// What the application wants to know when the change is applied; raft does not look at it.
    public var context: [UInt8]

    /// A change of one node.
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
    /// How it passes through a joint configuration.
    public var transition: ConfChangeTransition
    /// In the order in which they are made.
    public var changes: [ConfChangeSingle]
    /// What the application wants to know when the change is applied; raft does not look at it.
    public var context: [UInt8]

    /// A change of any number of nodes; without arguments, the end of a joint configuration.
    @inlinable public init(
        transition: ConfChangeTransition = .auto, changes: [ConfChangeSingle] = [], context: [UInt8] = []
    ) {
        self.transition = transition
        self.changes = changes
        self.context = context
    }

    /// The same change in the second form.
    @inlinable public init(_ change: ConfChange) {
        self.init(changes: [ConfChangeSingle(change.type, change.nodeID)], context: change.context)
    }

    var leavesJoint: Bool { transition == .auto && changes.isEmpty }
    var entersJoint: Bool { transition != .auto || changes.count > 1 }
    var autoLeave: Bool { transition != .jointExplicit }
}

/// Why the data of an entry is no configuration change.
public enum ConfChangeDecodingError: Error, Hashable {
    /// The bytes end within a field.
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
