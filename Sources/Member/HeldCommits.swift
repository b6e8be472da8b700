package import Base
package import Platform
package import RaftCore

/// Appends of a leader that bring a follower nothing but a new commit index, held back for a moment, because the next
/// entries bring it, too. Each one that is sent wakes a follower, has it take a turn, and wakes the leader with its
/// answer; at one put at a time that was every other message between them.
///
/// It is as if the network had been slow, so nothing depends on it but time: a follower applies, and its watchers hear,
/// at most `limit` later. A follower whose clients wait for the commit index gets it at once.
///
/// Invariant: at most one message to each peer is held, and none that a later message to it has made void.
/// See docs/decisions/140-held-appends.md.
package struct HeldCommits {
    /// The longest that a commit index is held back.
    package static let limit: Duration = .milliseconds(1)
    /// For so long after it has forwarded a request of a client, a peer gets every commit index at once.
    package static let eagerness: Duration = .milliseconds(100)

    private var held: [Message] = []
    private var askers: [(id: MemberID, last: Instant)] = []
    /// When what is held must go; nil when nothing is.
    package private(set) var due: Instant?

    package init() {}

    /// A peer has asked for something that its clients wait for: a proposal or a read index.
    package mutating func asked(_ peer: MemberID, at now: Instant) {
        if let index = askers.firstIndex(where: { $0.id == peer }) {
            askers[index].last = now
        } else {
            askers.append((peer, now))
        }
    }

    /// Takes out of `messages`, a turn's for all peers, what can be held, and adds what can be no longer.
    package mutating func filter(_ messages: inout [Message], at now: Instant) {
        if messages.isEmpty && held.isEmpty { return }
        askers.removeAll { now - $0.last >= Self.eagerness }
        var kept = 0
        for index in messages.indices {
            let type = messages[index].type
            let peer = messages[index].to
            if type == .append || type == .snapshot {
                // Whatever goes to the peer now tells more than what was held.
                held.removeAll { $0.to == peer }
            }
            if type == .append, messages[index].entries.isEmpty, !isAsker(peer) {
                held.append(messages[index])
            } else {
                if kept < index { messages.swapAt(kept, index) }
                kept += 1
            }
        }
        messages.removeLast(messages.count - kept)
        if let due, due <= now {
            messages.append(contentsOf: held)
            held = []
        } else if !askers.isEmpty {
            let awaited = held.filter { isAsker($0.to) }
            if !awaited.isEmpty {
                messages.append(contentsOf: awaited)
                held.removeAll { message in awaited.contains { $0.to == message.to } }
            }
        }
        due = held.isEmpty ? nil : due ?? now + Self.limit
    }

    /// The member leads no longer: what it held means nothing any more.
    package mutating func reset() {
        held = []
        askers = []
        due = nil
    }

    private func isAsker(_ peer: MemberID) -> Bool { askers.contains { $0.id == peer } }
}
