package import Base

/// Why a configuration change cannot be applied. The configuration stays as it was.
public enum ConfChangeError: Error, Hashable {
    /// The change would leave no voter.
    case removedAllVoters
    /// A simple change while a joint configuration lasts.
    case simpleInJoint
    /// A simple change of more than one voter, whose majorities could miss the old ones.
    case moreThanOneVoterChanged
    /// A joint configuration cannot be entered from another.
    case alreadyJoint
    /// A configuration without voters cannot become joint.
    case noVoters
    /// There is no joint configuration to leave.
    case notJoint
    /// The configuration itself breaks a rule.
    case invalid(String)
}

extension ConfChangeError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .removedAllVoters: "removed all voters"
        case .simpleInJoint: "can't apply simple config change in joint config"
        case .moreThanOneVoterChanged: "more than one voter changed without entering joint config"
        case .alreadyJoint: "config is already joint"
        case .noVoters: "can't make a zero-voter config joint"
        case .notJoint: "can't leave a non-joint config"
        case .invalid(let text): text
        }
    }
}

/// Computes the configuration after a change. It works on a copy, so a change that fails leaves nothing behind.
package struct Changer: Sendable {
    package typealias Outcome = (configuration: Configuration, progress: ProgressMap)

    package var tracker: Tracker
    /// The end of the log, where the probing of new members starts.
    package var lastIndex: LogIndex

    /// For `SeededFault.changeManyVotersAtOnce` alone.
    var allowsManyVoters = false

    package init(tracker: Tracker, lastIndex: LogIndex) {
        self.tracker = tracker
        self.lastIndex = lastIndex
    }

    func apply(_ change: ConfChangeV2) throws(ConfChangeError) -> Outcome {
        if change.leavesJoint { return try leaveJoint() }
        if change.entersJoint && !allowsManyVoters {
            return try enterJoint(autoLeave: change.autoLeave, change.changes)
        }
        return try simple(change.changes)
    }

    /// Changes at most one voter, which keeps old and new majorities overlapping.
    package func simple(_ changes: [ConfChangeSingle]) throws(ConfChangeError) -> Outcome {
        var (configuration, progress) = try checkedCopy()
        if configuration.voters.isJoint { throw .simpleInJoint }
        try change(&configuration, &progress, changes)
        let before = tracker.configuration.voters.incoming
        let after = configuration.voters.incoming
        let removed = before.ids.count { !after.contains($0) }
        let added = after.ids.count { !before.contains($0) }
        if removed + added > 1 && !allowsManyVoters { throw .moreThanOneVoterChanged }
        return try checked(configuration, progress)
    }

    /// Starts a joint configuration: the present voters become the outgoing half.
    package func enterJoint(autoLeave: Bool, _ changes: [ConfChangeSingle]) throws(ConfChangeError) -> Outcome {
        var (configuration, progress) = try checkedCopy()
        if configuration.voters.isJoint { throw .alreadyJoint }
        if configuration.voters.incoming.isEmpty { throw .noVoters }
        configuration.voters.outgoing = configuration.voters.incoming
        try change(&configuration, &progress, changes)
        configuration.autoLeave = autoLeave
        return try checked(configuration, progress)
    }

    /// Ends a joint configuration: the outgoing half goes.
    package func leaveJoint() throws(ConfChangeError) -> Outcome {
        var (configuration, progress) = try checkedCopy()
        if !configuration.voters.isJoint { throw .notJoint }
        for id in configuration.learnersNext.ids {
            configuration.learners.insert(id)
            if let p = progress.position(id) { progress[at: p].isLearner = true }
        }
        configuration.learnersNext = MajorityConfig()
        for id in configuration.voters.outgoing.ids
        where !configuration.voters.incoming.contains(id) && !configuration.learners.contains(id) {
            progress.remove(id)
        }
        configuration.voters.outgoing = MajorityConfig()
        configuration.autoLeave = false
        return try checked(configuration, progress)
    }

    /// The configuration that a snapshot describes, built through the same steps that led to it.
    package static func restore(
        _ state: ConfState, tracker: Tracker, lastIndex: LogIndex
    ) throws(ConfChangeError) -> Outcome {
        var changer = Changer(tracker: tracker, lastIndex: lastIndex)
        let incoming =
            state.voters.map { ConfChangeSingle(.addNode, $0) }
            + state.learners.map { ConfChangeSingle(.addLearnerNode, $0) }
            + state.learnersNext.map { ConfChangeSingle(.addLearnerNode, $0) }
        if state.votersOutgoing.isEmpty {
            for change in incoming { changer.take(try changer.simple([change])) }
        } else {
            for id in state.votersOutgoing { changer.take(try changer.simple([ConfChangeSingle(.addNode, id)])) }
            let removals = state.votersOutgoing.map { ConfChangeSingle(.removeNode, $0) }
            changer.take(try changer.enterJoint(autoLeave: state.autoLeave, removals + incoming))
        }
        let restored = changer.tracker.configuration
        if restored.confState != state.normalized {
            throw .invalid("\(state.text) describes no configuration; the nearest is \(restored.confState.text)")
        }
        return (restored, changer.tracker.progress)
    }

    private mutating func take(_ result: Outcome) {
        tracker.configuration = result.configuration
        tracker.progress = result.progress
    }

    private func change(
        _ configuration: inout Configuration, _ progress: inout ProgressMap, _ changes: [ConfChangeSingle]
    ) throws(ConfChangeError) {
        // A change of node zero is one that the application has voided.
        for change in changes where change.nodeID != .none {
            switch change.type {
            case .addNode: makeVoter(&configuration, &progress, change.nodeID)
            case .addLearnerNode: makeLearner(&configuration, &progress, change.nodeID)
            case .removeNode: remove(&configuration, &progress, change.nodeID)
            case .updateNode: break
            }
        }
        if configuration.voters.incoming.isEmpty { throw .removedAllVoters }
    }

    private func makeVoter(_ configuration: inout Configuration, _ progress: inout ProgressMap, _ id: MemberID) {
        guard let p = progress.position(id) else {
            return add(&configuration, &progress, id, learner: false)
        }
        progress[at: p].isLearner = false
        configuration.learners.remove(id)
        configuration.learnersNext.remove(id)
        configuration.voters.incoming.insert(id)
    }

    private func makeLearner(_ configuration: inout Configuration, _ progress: inout ProgressMap, _ id: MemberID) {
        guard let p = progress.position(id) else {
            return add(&configuration, &progress, id, learner: true)
        }
        if progress[at: p].isLearner { return }
        configuration.voters.incoming.remove(id)
        configuration.learners.remove(id)
        configuration.learnersNext.remove(id)
        // A voter of the outgoing half still votes there; it turns into a learner when that half goes.
        if configuration.voters.outgoing.contains(id) {
            configuration.learnersNext.insert(id)
        } else {
            progress[at: p].isLearner = true
            configuration.learners.insert(id)
        }
    }

    private func remove(_ configuration: inout Configuration, _ progress: inout ProgressMap, _ id: MemberID) {
        if !progress.contains(id) { return }
        configuration.voters.incoming.remove(id)
        configuration.learners.remove(id)
        configuration.learnersNext.remove(id)
        if !configuration.voters.outgoing.contains(id) { progress.remove(id) }
    }

    private func add(
        _ configuration: inout Configuration, _ progress: inout ProgressMap, _ id: MemberID, learner: Bool
    ) {
        if learner { configuration.learners.insert(id) } else { configuration.voters.incoming.insert(id) }
        // Counted as active, so that a quorum check does not depose the leader before the newcomer could answer.
        progress.insert(
            id,
            Progress(
                match: .zero, next: max(lastIndex, LogIndex(1)), recentActive: true, isLearner: learner,
                inflights: tracker.newInflights))
    }

    private func checkedCopy() throws(ConfChangeError) -> Outcome {
        try checked(tracker.configuration, tracker.progress)
    }

    private func checked(
        _ configuration: Configuration, _ progress: ProgressMap
    ) throws(ConfChangeError) -> Outcome {
        for ids in [configuration.voters.ids, configuration.learners.ids, configuration.learnersNext.ids] {
            for id in ids where !progress.contains(id) { throw .invalid("no progress for \(id.rawValue)") }
        }
        for id in configuration.learnersNext.ids {
            if !configuration.voters.outgoing.contains(id) {
                throw .invalid("\(id.rawValue) is in LearnersNext, but not Voters[1]")
            }
            if progress[id]?.isLearner == true {
                throw .invalid("\(id.rawValue) is in LearnersNext, but is already marked as learner")
            }
        }
        for id in configuration.learners.ids {
            if configuration.voters.outgoing.contains(id) {
                throw .invalid("\(id.rawValue) is in Learners and Voters[1]")
            }
            if configuration.voters.incoming.contains(id) {
                throw .invalid("\(id.rawValue) is in Learners and Voters[0]")
            }
            if progress[id]?.isLearner == false {
                throw .invalid("\(id.rawValue) is in Learners, but is not marked as learner")
            }
        }
        if !configuration.voters.isJoint {
            if !configuration.learnersNext.isEmpty { throw .invalid("cfg.LearnersNext must be nil when not joint") }
            if configuration.autoLeave { throw .invalid("AutoLeave must be false when not joint") }
        }
        return (configuration, progress)
    }
}

extension ConfState {
    /// With its lists in order, as a configuration gives them back.
    var normalized: ConfState {
        var result = self
        result.voters.sort()
        result.learners.sort()
        result.votersOutgoing.sort()
        result.learnersNext.sort()
        return result
    }
}
