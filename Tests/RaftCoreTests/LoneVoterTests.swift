import Base
import RaftCore
import Testing

/// A lone voter and the two queues of its storage, driven as a member drives it.
struct LoneVoter {
    var node: RawNode<MemoryStorage>
    var applied: [Entry] = []
    var durable: [Entry] = []

    init(storage: MemoryStorage = MemoryStorage(), applied: LogIndex = .zero) throws {
        var config = Config(id: MemberID(1))
        config.asyncStorageWrites = true
        config.applied = applied
        node = try RawNode(config, storage: storage)
    }

    /// Does all that is to be done, until nothing is left.
    mutating func settle() throws {
        while node.hasReady {
            let ready = node.ready()
            #expect(ready.messages.isEmpty)
            if let work = ready.append {
                if let state = work.hardState { node.storage.setHardState(state) }
                node.storage.append(work.entries)
                durable += work.entries
                #expect(work.responses.isEmpty)
                node.appended(work.receipt)
            }
            if let work = ready.apply {
                for entry in work.entries where entry.type == .confChange {
                    _ = try node.applyConfChange(ConfChange(decoding: entry.data))
                }
                applied += work.entries
                node.applied(work.receipt)
            }
        }
    }
}

@Suite("Lone voter") struct LoneVoterTests {
    static func bootstrapped() throws -> LoneVoter {
        var lone = try LoneVoter()
        try lone.node.bootstrap([Peer(id: MemberID(1), context: [7])])
        try lone.settle()
        return lone
    }

    @Test func electsItselfAndCommits() throws {
        var lone = try Self.bootstrapped()
        #expect(!lone.node.isLeader)
        lone.node.campaign()
        #expect(!lone.node.isLeader, "its own vote counts only once it is durable")
        try lone.settle()
        #expect(lone.node.isLeader)
        #expect(lone.node.term == Term(2))
        try lone.node.propose(Array("one".utf8))
        try lone.node.propose(contentsOf: [Array("two".utf8), Array("three".utf8)])
        #expect(lone.node.committed == LogIndex(2), "nothing commits before it is durable")
        try lone.settle()
        #expect(lone.node.committed == LogIndex(5))
        #expect(lone.applied.map(\.data).suffix(3) == ["one", "two", "three"].map { Array($0.utf8) })
        lone.node.readIndex(context: [1, 2])
        #expect(lone.node.ready().readStates == [ReadState(index: LogIndex(5), context: [1, 2])])
    }

    @Test func ticksElectIt() throws {
        var lone = try Self.bootstrapped()
        for _ in 0..<20 where !lone.node.isLeader {
            lone.node.tick()
            try lone.settle()
        }
        #expect(lone.node.isLeader)
    }

    @Test func goesOnFromItsStorage() throws {
        var lone = try Self.bootstrapped()
        lone.node.campaign()
        try lone.settle()
        try lone.node.propose([1])
        try lone.settle()
        var storage = lone.node.storage
        _ = try storage.createSnapshot(
            at: LogIndex(2), confState: ConfState(voters: [MemberID(1)]), data: [])
        try storage.compact(to: LogIndex(1))
        var again = try LoneVoter(storage: storage, applied: LogIndex(2))
        try again.settle()
        #expect(again.applied.map(\.index) == [LogIndex(3)])
        #expect(again.node.term == Term(2))
        again.node.campaign()
        try again.settle()
        #expect(again.node.term == Term(3))
        #expect(again.node.committed == LogIndex(4))
    }

    @Test func proposalsNeedALeader() throws {
        var lone = try Self.bootstrapped()
        #expect(throws: ProposalError.noLeader(term: Term(1))) { try lone.node.propose([1]) }
        lone.node.campaign()
        try lone.settle()
        #expect(throws: ProposalError.empty) { try lone.node.propose(contentsOf: []) }
    }

    @Test func acknowledgementsMayLagBehind() throws {
        var lone = try Self.bootstrapped()
        lone.node.campaign()
        try lone.settle()
        var works: [AppendWork] = []
        for i in 0..<5 {
            try lone.node.propose([UInt8(i)])
            works.append(try #require(lone.node.ready().append))
        }
        #expect(lone.node.outstandingAppends == 5)
        for (i, work) in works.enumerated() {
            lone.node.storage.append(work.entries)
            lone.node.appended(work.receipt)
            #expect(lone.node.committed == LogIndex(UInt64(3 + i)))
        }
        try lone.settle()
        #expect(lone.applied.suffix(5).map(\.data) == (0..<5).map { [UInt8($0)] })
    }

    @Test func skippedReceiptTraps() async {
        await #expect(processExitsWith: .failure) {
            var lone = try LoneVoterTests.bootstrapped()
            lone.node.campaign()
            try lone.settle()
            try lone.node.propose([1])
            _ = lone.node.ready()
            try lone.node.propose([2])
            if let work = lone.node.ready().append { lone.node.appended(work.receipt) }
        }
    }
}

@Suite("Giving up leadership") struct StepDownTests {
    @Test("A leader that steps down keeps its term, sends nothing, and can be elected again")
    func stepsDown() throws {
        var voter = try LoneVoter()
        try voter.node.bootstrap([Peer(id: MemberID(1))])
        try voter.settle()
        voter.node.stepDown()
        #expect(!voter.node.isLeader)
        voter.node.campaign()
        try voter.settle()
        #expect(voter.node.isLeader)
        let term = voter.node.term
        voter.node.stepDown()
        #expect(!voter.node.isLeader && voter.node.leader == .none && voter.node.term == term)
        let ready = voter.node.ready()
        #expect(ready.messages.isEmpty && ready.softState?.leader == MemberID.none)
    }
}
