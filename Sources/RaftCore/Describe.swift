internal import Base

// The text forms that etcd's log lines and test transcripts use.

extension MessageType {
    /// The name in raftpb, such as `MsgApp`.
    public var name: String {
        switch self {
        case .hup: "MsgHup"
        case .beat: "MsgBeat"
        case .propose: "MsgProp"
        case .append: "MsgApp"
        case .appendResponse: "MsgAppResp"
        case .vote: "MsgVote"
        case .voteResponse: "MsgVoteResp"
        case .snapshot: "MsgSnap"
        case .heartbeat: "MsgHeartbeat"
        case .heartbeatResponse: "MsgHeartbeatResp"
        case .unreachable: "MsgUnreachable"
        case .snapshotStatus: "MsgSnapStatus"
        case .checkQuorum: "MsgCheckQuorum"
        case .transferLeader: "MsgTransferLeader"
        case .timeoutNow: "MsgTimeoutNow"
        case .readIndex: "MsgReadIndex"
        case .readIndexResponse: "MsgReadIndexResp"
        case .preVote: "MsgPreVote"
        case .preVoteResponse: "MsgPreVoteResp"
        case .storageAppend: "MsgStorageAppend"
        case .storageAppendResponse: "MsgStorageAppendResp"
        case .storageApply: "MsgStorageApply"
        case .storageApplyResponse: "MsgStorageApplyResp"
        case .forgetLeader: "MsgForgetLeader"
        }
    }
}

extension Role {
    /// The name in etcd's status and logs, such as `StateLeader`.
    public var name: String {
        switch self {
        case .follower: "StateFollower"
        case .candidate: "StateCandidate"
        case .leader: "StateLeader"
        case .preCandidate: "StatePreCandidate"
        }
    }
}

extension ProgressState {
    /// The name in etcd's status and logs, such as `StateProbe`.
    public var name: String {
        switch self {
        case .probe: "StateProbe"
        case .replicate: "StateReplicate"
        case .snapshot: "StateSnapshot"
        }
    }
}

extension EntryType {
    /// The name in raftpb.
    public var name: String {
        switch self {
        case .normal: "EntryNormal"
        case .confChange: "EntryConfChange"
        case .confChangeV2: "EntryConfChangeV2"
        }
    }
}

extension ConfChangeType {
    /// The name in raftpb.
    public var name: String {
        switch self {
        case .addNode: "ConfChangeAddNode"
        case .removeNode: "ConfChangeRemoveNode"
        case .updateNode: "ConfChangeUpdateNode"
        case .addLearnerNode: "ConfChangeAddLearnerNode"
        }
    }
}

extension ConfChangeTransition {
    /// The name in raftpb.
    public var name: String {
        switch self {
        case .auto: "ConfChangeTransitionAuto"
        case .jointImplicit: "ConfChangeTransitionJointImplicit"
        case .jointExplicit: "ConfChangeTransitionJointExplicit"
        }
    }
}

extension MemberID {
    /// The ID as a message's sender or recipient.
    var target: String {
        switch self {
        case .none: "None"
        case .localAppendThread: "AppendThread"
        case .localApplyThread: "ApplyThread"
        default: description
        }
    }
}

extension MajorityConfig: CustomStringConvertible {
    public var description: String { "(\(ids.map(\.description).joined(separator: " ")))" }
}

extension JointConfig: CustomStringConvertible {
    public var description: String { isJoint ? "\(incoming)&&\(outgoing)" : incoming.description }
}

extension Configuration: CustomStringConvertible {
    public var description: String {
        var text = "voters=\(voters)"
        if !learners.isEmpty { text += " learners=\(learners)" }
        if !learnersNext.isEmpty { text += " learners_next=\(learnersNext)" }
        if autoLeave { text += " autoleave" }
        return text
    }
}

extension Progress: CustomStringConvertible {
    public var description: String {
        var text = "\(state.name) match=\(match) next=\(next)"
        if isLearner { text += " learner" }
        if isPaused { text += " paused" }
        if pendingSnapshot > .zero { text += " pendingSnap=\(pendingSnapshot)" }
        if !recentActive { text += " inactive" }
        if inflightCount > 0 {
            text += " inflight=\(inflightCount)"
            if inflightsFull { text += "[full]" }
        }
        return text
    }
}

extension ProgressMap: CustomStringConvertible {
    /// One line per member, each ended by a newline.
    public var description: String {
        ids.indices.map { "\(ids[$0].rawValue): \(self[at: $0])\n" }.joined()
    }
}

extension HardState: CustomStringConvertible {
    public var description: String {
        "Term:\(term)" + (vote == .none ? "" : " Vote:\(vote.rawValue)") + " Commit:\(commit)"
    }
}

extension ConfState {
    /// In the form of transcripts.
    package var text: String {
        func list(_ ids: [MemberID]) -> String { "[\(ids.map { String($0.rawValue) }.joined(separator: " "))]" }
        return
            "Voters:\(list(voters)) VotersOutgoing:\(list(votersOutgoing)) Learners:\(list(learners)) LearnersNext:\(list(learnersNext)) AutoLeave:\(autoLeave)"
    }

    /// In the text form of protobuf.
    var protobufText: String {
        func list(_ name: String, _ ids: [MemberID]) -> [String] { ids.map { "\(name):\($0.rawValue)" } }
        let fields =
            list("voters", voters) + list("learners", learners) + list("voters_outgoing", votersOutgoing)
            + list("learners_next", learnersNext)
        return (fields + (autoLeave ? ["auto_leave:true"] : [])).joined(separator: " ")
    }
}

extension Snapshot {
    /// In the form of transcripts: without the data.
    package var text: String { "Index:\(metadata.index) Term:\(metadata.term) ConfState:\(metadata.confState.text)" }
}

extension ConfChangeSingle: CustomStringConvertible {
    /// `v1` adds a voter, `l1` a learner, `r1` removes, `u1` updates.
    public var description: String {
        switch type {
        case .addNode: "v\(nodeID.rawValue)"
        case .addLearnerNode: "l\(nodeID.rawValue)"
        case .removeNode: "r\(nodeID.rawValue)"
        case .updateNode: "u\(nodeID.rawValue)"
        }
    }
}

extension Entry {
    /// In the form of transcripts: term, index, type, and the data quoted or as changes.
    package var text: String {
        let formatted: String
        switch type {
        case .normal: formatted = quoted(data)
        case .confChange, .confChangeV2:
            if let change = try? ConfChangeV2.carried(by: self) {
                formatted = change.changes.map(\.description).joined(separator: " ")
            } else {
                formatted = "malformed \(quoted(data))"
            }
        }
        return "\(term)/\(index) \(type.name)" + (formatted.isEmpty ? "" : " \(formatted)")
    }
}

extension Message {
    /// In the form of transcripts. Lines after the first begin with `indent`.
    package func text(indent: String = "") -> String {
        var text = "\(from.target)->\(to.target) \(type.name) Term:\(term) Log:\(logTerm)/\(index)"
        if reject { text += " Rejected (Hint: \(rejectHint))" }
        if commit > .zero { text += " Commit:\(commit)" }
        if vote != .none { text += " Vote:\(vote.rawValue)" }
        if entries.count == 1 {
            text += " Entries:[\(entries[0].text)]"
        } else if entries.count > 1 {
            text += " Entries:["
            for entry in entries { text += "\n\(indent)  \(entry.text)" }
            text += "\n\(indent)]"
        }
        if let snapshot, !snapshot.isEmpty { text += "\n\(indent)  Snapshot: \(snapshot.text)" }
        if !responses.isEmpty {
            text += " Responses:["
            for response in responses { text += "\n\(indent)  \(response.text(indent: indent + "  "))" }
            text += "\n\(indent)]"
        }
        return text
    }
}

extension RaftLog: CustomStringConvertible {
    var description: String {
        "committed=\(committed), applied=\(applied), applying=\(applying), unstable.offset=\(unstable.offset), unstable.offsetInProgress=\(unstable.offsetInProgress), len(unstable.Entries)=\(unstable.entries.count)"
    }
}

/// A change as the line that refuses it shows it.
func describe(proposed entry: Entry, _ change: ConfChangeV2) -> String {
    var text = "transition:\(change.transition.name)"
    for single in change.changes {
        text += " changes:{type:\(single.type.name) node_id:\(single.nodeID.rawValue)}"
    }
    if !change.context.isEmpty { text += " context:\(quoted(change.context))" }
    return text
}

/// Bytes in double quotes, escaped as Go does: printable characters as they are, the rest as escapes.
package func quoted(_ bytes: [UInt8]) -> String {
    func hex(_ value: UInt32, _ digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: digits - text.count) + text
    }
    var text = "\""
    var decoder = UTF8()
    var position = 0
    while position < bytes.count {
        // Decoding restarts at every character, so that a broken one costs one byte only.
        var rest = bytes[position...].prefix(4).makeIterator()
        decoder = UTF8()
        guard case .scalarValue(let scalar) = decoder.decode(&rest) else {
            text += "\\x" + hex(UInt32(bytes[position]), 2)
            position += 1
            continue
        }
        position += UTF8.width(scalar)
        switch scalar {
        case "\"": text += "\\\""
        case "\\": text += "\\\\"
        case "\u{07}": text += "\\a"
        case "\u{08}": text += "\\b"
        case "\u{0C}": text += "\\f"
        case "\n": text += "\\n"
        case "\r": text += "\\r"
        case "\t": text += "\\t"
        case "\u{0B}": text += "\\v"
        default:
            if isPrintable(scalar) {
                text.unicodeScalars.append(scalar)
            } else if scalar.value < 0x80 {
                text += "\\x" + hex(scalar.value, 2)
            } else if scalar.value < 0x10000 {
                text += "\\u" + hex(scalar.value, 4)
            } else {
                text += "\\U" + hex(scalar.value, 8)
            }
        }
    }
    return text + "\""
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII space.
private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x80 { return scalar.value >= 0x20 && scalar.value < 0x7F }
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .spaceSeparator, .lineSeparator,
        .paragraphSeparator:
        return false
    default: return true
    }
}
