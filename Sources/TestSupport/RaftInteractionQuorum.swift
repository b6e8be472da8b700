import Base
import RaftCore

/// The language of quorum transcripts: what a configuration makes of acknowledged indices and of votes.
enum RaftInteractionQuorum {
    static func handle(_ command: RaftInteractionFile.Command) -> String {
        guard command.name == "committed" || command.name == "vote" else { return "unknown command: \(command.name)" }
        var ids: [MemberID] = []
        var outgoing: [MemberID] = []
        var joint = false
        var values: [UInt64] = []
        for argument in command.arguments {
            for value in argument.values {
                switch argument.key {
                case "cfg": ids.append(MemberID(UInt64(value) ?? 0))
                case "cfgj":
                    joint = true
                    if value != "zero" { outgoing.append(MemberID(UInt64(value) ?? 0)) }
                case "idx":
                    let index = value == "_" ? 0 : UInt64(value) ?? 0
                    if index == 0 && value != "_" { return "error: use '_' as 0, not \(value)" }
                    values.append(index)
                case "votes":
                    guard let vote = ["_": 0, "n": 1, "y": 2][value] as UInt64? else {
                        return "error: unknown vote \(value)"
                    }
                    values.append(vote)
                default: return "error: unknown argument \(argument.key)"
                }
            }
        }
        let config = JointConfig(incoming: MajorityConfig(ids), outgoing: MajorityConfig(outgoing))
        if config.ids.count != values.count {
            let voters = config.ids.map { "\($0.rawValue):{}" }.joined(separator: " ")
            let input = values.map(String.init).joined(separator: " ")
            return "error: mismatched input (explicit or _) for voters map[\(voters)]: [\(input)]"
        }
        var known: [MemberID: UInt64] = [:]
        var order: [MemberID] = []
        for id in ids + outgoing where !order.contains(id) {
            known[id] = values[order.count]
            order.append(id)
        }
        known = known.filter { $0.value != 0 }
        return command.name == "vote" ? vote(config, joint, known) : committed(config, joint, known)
    }

    private static func vote(_ config: JointConfig, _ joint: Bool, _ known: [MemberID: UInt64]) -> String {
        func result(_ config: JointConfig) -> VoteResult { config.voteResult { id in known[id].map { $0 == 2 } } }
        let direct = result(config)
        let swapped = result(JointConfig(incoming: config.outgoing, outgoing: config.incoming))
        var text = ""
        if joint && swapped != direct { text += "\(name(swapped)) <-- via symmetry\n" }
        return text + name(direct) + "\n"
    }

    private static func committed(_ config: JointConfig, _ joint: Bool, _ known: [MemberID: UInt64]) -> String {
        func index(_ config: JointConfig, _ known: [MemberID: UInt64]) -> LogIndex {
            config.committedIndex { id in known[id].map { LogIndex($0) } }
        }
        let direct = index(config, known)
        var text = describe(config.ids, known)
        func note(_ other: LogIndex, _ how: String) {
            if other != direct { text += "\(name(other)) <-- \(how)\n" }
        }
        if joint {
            note(index(JointConfig(incoming: config.outgoing, outgoing: config.incoming), known), "via symmetry")
            return text + name(direct) + "\n"
        }
        note(byCounting(config.incoming, known), "via alternative computation")
        note(config.incoming.committedIndex { id in known[id].map { LogIndex($0) } }, "via zero-joint quorum")
        note(index(JointConfig(incoming: config.incoming, outgoing: config.incoming), known), "via self-joint quorum")
        // A voter below the result may fall further without changing it.
        for id in config.ids {
            guard let own = known[id], direct > LogIndex(own) else { continue }
            for lower in [own - 1, 0] {
                var changed = known
                changed[id] = lower
                note(index(config, changed), "overlaying \(id.rawValue)->\(lower)")
            }
        }
        return text + name(direct) + "\n"
    }

    /// The largest index that more than half have reached, found by trying each one.
    private static func byCounting(_ config: MajorityConfig, _ known: [MemberID: UInt64]) -> LogIndex {
        if config.isEmpty { return .max }
        let reached = config.ids.map { known[$0] ?? 0 }
        let candidates = reached.filter { index in reached.count { $0 >= index } > reached.count / 2 }
        return LogIndex(candidates.max() ?? 0)
    }

    /// A bar for each voter, as long as the number of those that it is ahead of.
    private static func describe(_ ids: [MemberID], _ known: [MemberID: UInt64]) -> String {
        if ids.isEmpty { return "<empty majority quorum>" }
        let n = ids.count
        let ranked = ids.sorted { (known[$0] ?? 0, $0) < (known[$1] ?? 0, $1) }
        var bars: [MemberID: Int] = [:]
        for (i, id) in ranked.enumerated() {
            let grew = i > 0 && (known[ranked[i - 1]] ?? 0) < (known[id] ?? 0)
            bars[id] = grew ? i : i > 0 ? bars[ranked[i - 1]] : 0
        }
        var text = String(repeating: " ", count: n) + "    idx\n"
        for id in ids {
            let bar = bars[id] ?? 0
            if known[id] == nil {
                text += "?" + String(repeating: " ", count: n)
            } else {
                text += String(repeating: "x", count: bar) + ">" + String(repeating: " ", count: n - bar)
            }
            let number = String(known[id] ?? 0)
            text += " " + String(repeating: " ", count: max(0, 5 - number.count)) + number + "    (id=\(id))\n"
        }
        return text
    }

    private static func name(_ index: LogIndex) -> String { index == .max ? "∞" : "\(index)" }

    private static func name(_ result: VoteResult) -> String {
        switch result {
        case .pending: "VotePending"
        case .lost: "VoteLost"
        case .won: "VoteWon"
        }
    }
}
