import Base
import RaftCore
import Testing

/// Random sequences of configuration changes, and their bytes.
@Suite("Configuration changes") struct ConfChangeTests {
    static func changes(_ random: inout SeededGenerator, _ count: Int) -> [ConfChangeSingle] {
        let types: [ConfChangeType] = [.addNode, .removeNode, .updateNode, .addLearnerNode]
        return (0..<count).map { _ in
            ConfChangeSingle(types[random.next(below: 4)], MemberID(UInt64(random.next(below: 6))))
        }
    }

    /// Whatever sequence of changes led to a configuration, its state in a snapshot brings it back.
    @Test(arguments: 0..<20) func stateRestoresTheConfiguration(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let empty = Tracker(maxInflightMessages: 10, maxInflightBytes: 0)
        var changer = Changer(tracker: empty, lastIndex: LogIndex(10))
        var applied = 0
        for _ in 0..<300 {
            let outcome: Changer.Outcome
            do {
                switch random.next(below: 5) {
                case 0, 1: outcome = try changer.simple(Self.changes(&random, 1 + random.next(below: 2)))
                case 2: outcome = try changer.leaveJoint()
                default:
                    outcome = try changer.enterJoint(
                        autoLeave: random.chance(1, in: 2), Self.changes(&random, random.next(below: 4)))
                }
            } catch {
                continue
            }
            applied += 1
            changer.tracker.configuration = outcome.configuration
            changer.tracker.progress = outcome.progress
            let restored = try Changer.restore(
                outcome.configuration.confState, tracker: empty, lastIndex: LogIndex(10))
            #expect(restored.configuration == outcome.configuration)
            #expect(restored.progress.ids == outcome.progress.ids)
            for id in restored.progress.ids {
                #expect(restored.progress[id]?.isLearner == outcome.progress[id]?.isLearner)
            }
        }
        #expect(applied > 50)
    }

    @Test func bytesComeBack() throws {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<2000 {
            let context = (0..<random.next(below: 5)).map { _ in UInt8(random.next(below: 256)) }
            let transitions: [ConfChangeTransition] = [.auto, .jointImplicit, .jointExplicit]
            let v2 = ConfChangeV2(
                transition: transitions[random.next(below: 3)],
                changes: Self.changes(&random, random.next(below: 5)), context: context)
            #expect(try ConfChangeV2(decoding: v2.encoded()) == v2)
            let single = Self.changes(&random, 1)[0]
            let v1 = ConfChange(id: random.next(), type: single.type, nodeID: single.nodeID, context: context)
            #expect(try ConfChange(decoding: v1.encoded()) == v1)
        }
    }

    /// Any bytes are a change or an error, and nothing else.
    @Test func anyBytesAreAnswered() {
        var random = SeededGenerator(seed: 8)
        var (read, refused) = (0, 0)
        for _ in 0..<50_000 {
            var bytes = ConfChangeV2(changes: Self.changes(&random, random.next(below: 3))).encoded()
            for _ in 0..<random.next(below: 4) {
                let at = random.next(below: bytes.count)
                if random.chance(1, in: 3) {
                    bytes.removeLast(bytes.count - at)
                } else {
                    bytes[at] = UInt8(random.next(below: 256))
                }
                if bytes.isEmpty { break }
            }
            do {
                _ = try ConfChangeV2(decoding: bytes)
                _ = try ConfChange(decoding: bytes)
                read += 1
            } catch {
                #expect(!"\(error)".isEmpty)
                refused += 1
            }
        }
        #expect(read > 1000 && refused > 1000)
    }

    @Test func aChangeThatCannotFollowChangesNothing() throws {
        var cluster = try MiniCluster(3)
        try cluster.elect(1)
        let before = cluster[1].configuration
        let cases: [(ConfChangeV2, ConfChangeError)] = [
            (ConfChangeV2(), .notJoint),
            (
                ConfChangeV2(changes: (1...3).map { ConfChangeSingle(.removeNode, MiniCluster.id($0)) }),
                .removedAllVoters
            ),
        ]
        for (change, error) in cases {
            #expect(throws: error) { _ = try cluster[1].applyConfChange(change) }
            #expect(cluster[1].configuration == before)
        }
        _ = try cluster[1].applyConfChange(ConfChangeV2(transition: .jointExplicit))
        #expect(throws: ConfChangeError.alreadyJoint) {
            _ = try cluster[1].applyConfChange(ConfChangeV2(transition: .jointExplicit))
        }
        #expect(throws: ConfChangeError.simpleInJoint) {
            _ = try cluster[1].applyConfChange(ConfChange(type: .removeNode, nodeID: MiniCluster.id(3)))
        }
    }

    /// A leader refuses by putting an empty entry in its place, unless the application validates for itself.
    @Test(arguments: [false, true]) func validationCanBeLeftOut(disabled: Bool) throws {
        var cluster = try MiniCluster(3) { $0.disableConfChangeValidation = disabled }
        try cluster.elect(1)
        for i in 2...3 {
            try cluster[1].proposeConfChange(ConfChange(type: .updateNode, nodeID: MiniCluster.id(i)))
        }
        try cluster.settle()
        let types = cluster.applied[0].suffix(2).map(\.type)
        #expect(types == [.confChange, disabled ? .confChange : .normal])
    }
}
