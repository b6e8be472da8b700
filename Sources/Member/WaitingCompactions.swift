internal import Base

/// Answers to physical compactions. They go out only when the backend file no longer holds what was compacted: before,
/// a crash would bring the history back, and with it another hash of the store than the client may have asked for.
package struct WaitingCompactions {
    package struct Answer: Sendable {
        package var address: ReplyAddress
        package var message: [UInt8]

        package init(address: ReplyAddress, message: [UInt8]) {
            self.address = address
            self.message = message
        }
    }

    /// Whose history is still being removed.
    private var removing: [Answer] = []
    /// Whose history is gone from the store, with the number of the commit that takes it from the file; ascending.
    private var committing: [(commit: Int, answer: Answer)] = []

    package init() {}

    package mutating func append(_ answer: Answer) { removing.append(answer) }

    /// The store has removed the history of all compactions so far; the commit of that number will say so in the file.
    package mutating func historyRemoved(before commit: Int) {
        for answer in removing { committing.append((commit, answer)) }
        removing.removeAll()
    }

    /// Whether a commit is waited for.
    package var awaitCommit: Bool { !committing.isEmpty }

    /// Takes out the answers that so many commits allow.
    package mutating func takeCommitted(_ commits: Int) -> [Answer] {
        let count = committing.prefix { $0.commit <= commits }.count
        defer { committing.removeFirst(count) }
        return committing.prefix(count).map(\.answer)
    }

    /// Takes out all of them.
    package mutating func removeAll() -> [Answer] {
        defer { self = WaitingCompactions() }
        return committing.map(\.answer) + removing
    }
}
