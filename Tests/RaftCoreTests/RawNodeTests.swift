import Base
import RaftCore
import Testing

/// How a node is made, driven and observed.
@Suite("Raw node") struct RawNodeTests {
    static let one = MemberID(1)

    @Test func badSettingsAreRefused() {
        let cases: [(ConfigError, String, (inout Config) -> Void)] = [
            (.noID, "cannot use none as id", { $0.id = .none }),
            (.localTargetID, "cannot use local target as id", { $0.id = .localApplyThread }),
            (.heartbeatTicks, "heartbeat tick must be greater than 0", { $0.heartbeatTicks = 0 }),
            (.electionTicks, "election tick must be greater than heartbeat tick", { $0.electionTicks = 1 }),
            (.maxInflightMessages, "max inflight messages must be greater than 0", { $0.maxInflightMessages = 0 }),
            (.maxInflightBytes, "max inflight bytes must be >= max message size", { $0.maxInflightBytes = 1 }),
            (
                .leaseWithoutCheckQuorum, "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased",
                { $0.readOnly = .leaseBased }
            ),
        ]
        for (error, text, spoil) in cases {
            var config = Config(id: Self.one)
            spoil(&config)
            #expect(throws: error) { try RawNode(config, storage: MemoryStorage()) }
            #expect(error.description == text)
        }
    }

    @Test func badStoragesAreRefused() throws {
        var storage = try StorageTests.filled()
        storage.setHardState(HardState(term: Term(1), commit: LogIndex(21)))
        #expect(throws: ConfigError.commitOutOfRange(commit: LogIndex(21), lastIndex: LogIndex(20))) {
            try RawNode(Config(id: Self.one), storage: storage)
        }
        storage.setHardState(HardState(term: Term(1), commit: LogIndex(12)))
        for applied in [LogIndex(4), LogIndex(21)] {
            var config = Config(id: Self.one)
            config.applied = applied
            #expect(throws: ConfigError.self) { try RawNode(config, storage: storage) }
        }
        var broken = MemoryStorage()
        let state = ConfState(voters: [Self.one], learnersNext: [Self.one])
        try broken.apply(Snapshot(metadata: SnapshotMetadata(confState: state, index: LogIndex(1), term: Term(1))))
        #expect(throws: ConfigError.self) { try RawNode(Config(id: Self.one), storage: broken) }
        var node = try RawNode(Config(id: Self.one), storage: try StorageTests.filled())
        #expect(throws: ConfigError.notEmpty(lastIndex: LogIndex(20))) { try node.bootstrap([Peer(id: Self.one)]) }
    }

    @Test func bootstrapListsTheFirstMembers() throws {
        var node = try RawNode(Config(id: Self.one), storage: MemoryStorage())
        try node.bootstrap([Peer(id: Self.one, context: [1]), Peer(id: MemberID(2), context: [2])])
        let ready = node.ready()
        #expect(ready.hardState == HardState(term: Term(1), commit: LogIndex(2)))
        #expect(ready.entries == ready.committedEntries && ready.entries.map(\.index.rawValue) == [1, 2])
        #expect(try ready.entries.map { try ConfChange(decoding: $0.data).context } == [[1], [2]])
        #expect(node.configuration.voters.ids == [Self.one, MemberID(2)])
    }

    // MARK: Ready

    @Test func aReadyIsWorkedOffOnce() throws {
        var cluster = try MiniCluster(3)
        cluster[1].campaign()
        let ready = cluster[1].ready()
        #expect(ready.mustSync && ready.hardState?.vote == Self.one)
        #expect(ready.messages.map(\.type) == [.vote, .vote])
        cluster[1].advance(ready)
        #expect(!cluster[1].hasReady)
    }

    @Test func aReadyThatIsDroppedTraps() async {
        await #expect(processExitsWith: .failure) {
            var cluster = try MiniCluster(3)
            cluster[1].campaign()
            _ = cluster[1].ready()
            cluster[1].tick()
            _ = cluster[1].ready()
        }
    }

    @Test func aReadyThatIsAdvancedTwiceTraps() async {
        await #expect(processExitsWith: .failure) {
            var cluster = try MiniCluster(3)
            cluster[1].campaign()
            let ready = cluster[1].ready()
            cluster[1].advance(ready)
            cluster[1].advance(ready)
        }
    }

    @Test func advancingAnAsynchronousNodeTraps() async {
        await #expect(processExitsWith: .failure) {
            var cluster = try MiniCluster(3) { $0.asyncStorageWrites = true }
            cluster[1].campaign()
            cluster[1].advance(cluster[1].ready())
        }
    }

    @Test func anApplyThatIsSkippedTraps() async {
        await #expect(processExitsWith: .failure) {
            var cluster = try MiniCluster(1) { $0.asyncStorageWrites = true }
            try cluster.elect(1)
            for _ in 0..<2 {
                try cluster[1].propose([1])
                while cluster[1].hasReady {
                    let ready = cluster[1].ready()
                    if let append = ready.append {
                        cluster[1].storage.append(append.entries)
                        cluster[1].appended(append.receipt)
                    }
                    // The first is forgotten, the second reported.
                    if let apply = ready.apply, apply.receipt.index == LogIndex(4) {
                        cluster[1].applied(apply.receipt)
                    }
                }
            }
        }
    }

    /// What may leave before it is durable and what may not are different fields.
    @Test func promisesWaitForTheDisk() throws {
        var cluster = try MiniCluster(3) { $0.asyncStorageWrites = true }
        try cluster.elect(1)
        try cluster[1].propose([1])
        try cluster.work(1)
        for message in cluster.network where message.to == MemberID(2) { try cluster[2].step(message) }
        let ready = cluster[2].ready()
        let append = try #require(ready.append)
        #expect(ready.messages.isEmpty, "an acknowledgement is a promise")
        #expect(append.mustSync && append.responses.map(\.type) == [.appendResponse])
        // The leader's appends are none: they leave while its own disk works.
        try cluster[1].propose([2])
        let leading = cluster[1].ready()
        #expect(leading.messages.map(\.type) == [.append, .append])
        #expect(leading.append?.responses.isEmpty == true)
    }

    // MARK: Elections

    @Test func timeoutsAreDrawnBetweenOneAndTwo() throws {
        var drawn: Set<Int> = []
        for seed in 0..<UInt64(60) {
            var ticks: [Int] = []
            for _ in 0..<2 {
                var cluster = try MiniCluster(1) { $0.seed = seed }
                var count = 0
                while !cluster[1].hasReady {
                    cluster[1].tick()
                    count += 1
                }
                ticks.append(count)
            }
            #expect(ticks[0] == ticks[1], "the same seed draws the same")
            drawn.insert(ticks[0])
        }
        #expect(drawn.min() == 10 && drawn.max() == 19 && drawn.count == 10)
    }

    @Test func learnersDoNotCampaign() throws {
        var cluster = try MiniCluster(3, learners: [3])
        for _ in 0..<50 { cluster[3].tick() }
        cluster[3].campaign()
        #expect(!cluster[3].hasReady)
    }

    @Test func noCampaignBeforeAChangeIsApplied() throws {
        var cluster = try MiniCluster(1)
        try cluster.elect(1)
        try cluster[1].proposeConfChange(ConfChange(type: .addLearnerNode, nodeID: MemberID(9)))
        try cluster.settle()
        // It starts again with the change committed and not applied.
        var config = Config(id: Self.one)
        config.applied = LogIndex(1)
        var again = try RawNode(config, storage: cluster[1].storage)
        again.campaign()
        #expect(again.basicStatus.softState.role == .follower)
    }

    // MARK: Observation

    @Test func statusShowsTheProgressOfALeader() throws {
        var cluster = try MiniCluster(3)
        try cluster.elect(1)
        let status = cluster[1].status
        #expect(status.basic == cluster[1].basicStatus)
        #expect(status.basic.softState == SoftState(leader: Self.one, role: .leader))
        #expect(status.basic.hardState == HardState(term: Term(2), vote: Self.one, commit: LogIndex(2)))
        #expect(status.basic.applied == LogIndex(2))
        #expect(status.progress.ids.map(\.rawValue) == [1, 2, 3])
        #expect(status.progress[MemberID(2)]?.match == LogIndex(2))
        #expect(status.progress[MemberID(2)]?.state == .replicate)
        #expect(cluster[2].status.progress.isEmpty)
        #expect(cluster[2].leader == Self.one && !cluster[2].isLeader)
    }

    /// A work that brings a new commit index names the end of the log, too, while that is on its way to the disk.
    @Test func worksThatNameTheSameEndOfTheLogAreNoNews() throws {
        let lines = LineCounter()
        var cluster = try MiniCluster(3) {
            $0.asyncStorageWrites = true
            $0.log = LogSink(level: .info) { _, text in if text.contains("missing from unstable log") { lines.add() } }
        }
        try cluster.elect(1)
        try cluster[1].propose(Array("one".utf8))
        let entries = try #require(cluster[1].ready().append)
        for peer in [2, 3] as [UInt64] {
            try cluster[1].step(
                Message(
                    type: .appendResponse, to: Self.one, from: MemberID(peer), term: cluster[1].term,
                    index: try #require(entries.entries.last).index))
        }
        let commit = try #require(cluster[1].ready().append)
        #expect(commit.hardState?.commit == entries.entries.last?.index)
        cluster[1].storage.append(entries.entries)
        cluster[1].appended(entries.receipt)
        cluster[1].appended(commit.receipt)
        #expect(lines.count == 0)
    }

    @Test func levelsKeepLinesFromBeingBuilt() throws {
        for (level, some) in [(LogLevel.error, false), (.debug, true)] {
            let lines = LineCounter()
            var cluster = try MiniCluster(3) { $0.log = LogSink(level: level) { _, _ in lines.add() } }
            try cluster.elect(1)
            #expect((lines.count > 0) == some)
        }
    }
}
