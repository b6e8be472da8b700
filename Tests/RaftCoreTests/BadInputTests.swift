import Base
import RaftCore
import Testing

/// What a peer may send wrongly: each has an error or is ignored, and leaves the node as it was.
@Suite("Bad input") struct BadInputTests {
    static let (one, two, three) = (MemberID(1), MemberID(2), MemberID(3))

    /// A follower of node 2 in term 5 with entries 2…4 of term 5 behind a snapshot at 1, committed up to 3.
    static func follower() throws -> RawNode<MemoryStorage> {
        var storage = MemoryStorage()
        try storage.apply(
            Snapshot(
                metadata: SnapshotMetadata(
                    confState: ConfState(voters: [one, two, three]), index: LogIndex(1), term: Term(1))))
        storage.setHardState(HardState(term: Term(5), vote: two, commit: LogIndex(3)))
        storage.append((2...4).map { Entry(term: Term(5), index: LogIndex($0)) })
        return try RawNode(Config(id: one), storage: storage)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var message: Message
        var error: StepError?

        init(_ name: String, _ message: Message, _ error: StepError?) {
            testDescription = name
            self.message = message
            self.error = error
        }
    }

    static let cases: [Case] = [
        Case("a local type", Message(type: .hup, to: one, from: two), .localMessage(.hup)),
        Case(
            "storage's word from the network", Message(type: .storageAppendResponse, to: one, from: .localAppendThread),
            .localMessage(.storageAppendResponse)),
        Case(
            "its own acknowledgement from the network",
            Message(type: .appendResponse, to: one, from: one, term: Term(5)),
            .malformed(.appendResponse, from: one, .address)),
        Case(
            "a response of an unknown peer",
            Message(type: .heartbeatResponse, to: one, from: MemberID(9), term: Term(5)),
            .peerNotFound(MemberID(9))),
        Case(
            "an append of an unknown peer in a lower term",
            Message(type: .append, to: one, from: MemberID(9), term: Term(4)), nil),
        Case("no term", Message(type: .append, to: one, from: two), .malformed(.append, from: two, .termMissing)),
        Case(
            "nobody", Message(type: .append, to: one, from: .none, term: Term(5)),
            .malformed(.append, from: .none, .address)),
        Case(
            "a term from the far future", Message(type: .heartbeat, to: one, from: two, term: Term(.max)),
            .malformed(.heartbeat, from: two, .numberOutOfRange)),
        Case(
            "an index at the end of the world",
            Message(type: .append, to: one, from: two, term: Term(5), logTerm: Term(5), index: .max),
            .malformed(.append, from: two, .numberOutOfRange)),
        Case(
            "a commit beyond the log",
            Message(type: .heartbeat, to: one, from: two, term: Term(5), commit: LogIndex(9)),
            .commitOutOfRange(commit: LogIndex(9), lastIndex: LogIndex(4))),
        Case(
            "an append with a gap inside",
            Message(
                type: .append, to: one, from: two, term: Term(5), logTerm: Term(5), index: LogIndex(4),
                entries: [Entry(term: Term(5), index: LogIndex(5)), Entry(term: Term(5), index: LogIndex(7))]),
            .malformed(.append, from: two, .entries)),
        Case(
            "entries whose terms go back",
            Message(
                type: .append, to: one, from: two, term: Term(5), logTerm: Term(5), index: LogIndex(4),
                entries: [Entry(term: Term(4), index: LogIndex(5))]),
            .malformed(.append, from: two, .entries)),
        Case(
            "entries of a later term than the message",
            Message(
                type: .append, to: one, from: two, term: Term(5), logTerm: Term(5), index: LogIndex(4),
                entries: [Entry(term: Term(6), index: LogIndex(5))]),
            .malformed(.append, from: two, .entries)),
        Case(
            "an append behind the end, answered by a rejection",
            Message(type: .append, to: one, from: two, term: Term(5), logTerm: Term(5), index: LogIndex(50)), nil),
        Case(
            "a snapshot that is older than the log",
            Message(
                type: .snapshot, to: one, from: two, term: Term(5),
                snapshot: Snapshot(metadata: SnapshotMetadata(index: LogIndex(1), term: Term(1)))), nil),
        Case("a snapshot message without one", Message(type: .snapshot, to: one, from: two, term: Term(5)), nil),
        Case(
            "a snapshot whose membership cannot be",
            Message(
                type: .snapshot, to: one, from: two, term: Term(5),
                snapshot: Snapshot(
                    metadata: SnapshotMetadata(
                        confState: ConfState(voters: [one, one]), index: LogIndex(9), term: Term(5)))),
            .malformed(
                .snapshot, from: two,
                .confState(
                    .invalid(
                        "Voters:[1 1] VotersOutgoing:[] Learners:[] LearnersNext:[] AutoLeave:false describes no configuration; the nearest is Voters:[1] VotersOutgoing:[] Learners:[] LearnersNext:[] AutoLeave:false"
                    )))),
        Case("a proposal without entries", Message(type: .propose, to: one, from: two), .proposal(.empty)),
        Case(
            "a read without a context", Message(type: .readIndex, to: one, from: two),
            .malformed(.readIndex, from: two, .entryCount(0))),
        Case(
            "a read answer with two contexts",
            Message(
                type: .readIndexResponse, to: one, from: two, term: Term(5),
                entries: [Entry(term: .zero, index: .zero), Entry(term: .zero, index: .zero)]), nil),
    ]

    @Test(arguments: cases) func follower(takes bad: Case) throws {
        var node = try Self.follower()
        if let error = bad.error {
            #expect(throws: error) { try node.step(bad.message) }
        } else {
            #expect(throws: Never.self) { try node.step(bad.message) }
        }
        #expect(node.committed == LogIndex(3))
        #expect(node.lastIndex == LogIndex(4))
        #expect(node.term == Term(5))
    }

    @Test func conflictWithCommittedIsRefused() throws {
        var node = try Self.follower()
        let overwrite = Message(
            type: .append, to: Self.one, from: Self.two, term: Term(6), logTerm: Term(5), index: LogIndex(3),
            entries: [Entry(term: Term(6), index: LogIndex(4))], commit: LogIndex(4))
        try node.step(overwrite)
        #expect(node.committed == LogIndex(4))
        let again = Message(
            type: .append, to: Self.one, from: Self.two, term: Term(7), logTerm: Term(5), index: LogIndex(3),
            entries: [Entry(term: Term(7), index: LogIndex(4))])
        // Below the commit index the answer is the commit index, whatever the message holds.
        try node.step(again)
        #expect(node.committed == LogIndex(4))
        #expect(node.lastIndex == LogIndex(4))
    }

    @Test(
        arguments: [[0x08], [0x12, 0x05, 0x08], [0x00], [0x10, 0x09], [UInt8](repeating: 0xFF, count: 12)] as [[UInt8]])
    func corruptConfChange(bytes: [UInt8]) throws {
        #expect(throws: ConfChangeDecodingError.self) { try ConfChange(decoding: bytes) }
        var storage = MemoryStorage()
        try storage.apply(
            Snapshot(
                metadata: SnapshotMetadata(
                    confState: ConfState(voters: [Self.one]), index: LogIndex(1), term: Term(1))))
        var node = try RawNode(Config(id: Self.one), storage: storage)
        node.campaign()
        while node.hasReady {
            let ready = node.ready()
            node.storage.append(ready.entries)
            node.advance(ready)
        }
        let message = Message(
            type: .propose, to: Self.one, from: Self.two,
            entries: [Entry(type: .confChange, term: .zero, index: .zero, data: bytes)])
        #expect(throws: StepError.self) { try node.step(message) }
        #expect(node.lastIndex == LogIndex(2))
    }

    @Test func acknowledgementBeyondTheLog() throws {
        var node = try Self.follower()
        node.campaign()
        let ready = node.ready()
        node.advance(ready)
        try node.step(Message(type: .voteResponse, to: Self.one, from: Self.two, term: Term(6)))
        #expect(node.isLeader)
        let claim = Message(type: .appendResponse, to: Self.one, from: Self.two, term: Term(6), index: LogIndex(99))
        #expect(
            throws: StepError.malformed(
                .appendResponse, from: Self.two, .indexBeyondLog(index: LogIndex(99), lastIndex: LogIndex(5)))
        ) { try node.step(claim) }
    }

    @Test func confChangeBytesAreEtcds() throws {
        let v1 = ConfChange(id: 3, type: .removeNode, nodeID: MemberID(300), context: [1, 2])
        #expect(v1.encoded() == [0x08, 3, 0x10, 1, 0x18, 0xAC, 2, 0x22, 2, 1, 2])
        #expect(try ConfChange(decoding: v1.encoded()) == v1)
        let v2 = ConfChangeV2(transition: .jointExplicit, changes: [ConfChangeSingle(.addLearnerNode, MemberID(4))])
        #expect(v2.encoded() == [0x08, 2, 0x12, 4, 0x08, 3, 0x10, 4])
        #expect(try ConfChangeV2(decoding: v2.encoded()) == v2)
        #expect(try ConfChangeV2(decoding: []) == ConfChangeV2())
    }
}
