import Base
import Leasing
import MVCC
import Platform
import Testing

extension Instant {
    /// Seconds on the test's clock.
    static func at(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64((1000 + seconds) * 1e9)) }
}

/// What a leader does with its leases, one rule at a time.
@Suite struct LessorTests {
    private static let settings = LessorSettings(grace: .seconds(1), minimumTTL: 2)
    private static let withCheckpoints = LessorSettings(
        grace: .seconds(1), minimumTTL: 2, checkpointInterval: .seconds(300))

    private func lease(_ id: Int64, _ seconds: Int64, remaining: Int64 = 0) -> LeaseRecord {
        LeaseRecord(id: LeaseID(id), timeToLive: seconds, remaining: remaining)
    }

    private func primary(
        _ leases: [LeaseRecord] = [], settings: LessorSettings = settings, at seconds: Double = 0
    ) -> Lessor {
        var lessor = Lessor(settings)
        lessor.promote(leases, at: .at(seconds))
        return lessor
    }

    private func ended(_ lessor: inout Lessor, at seconds: Double) -> [Int64] {
        lessor.takeDue(at: .at(seconds)).ended.map(\.rawValue)
    }

    @Test func aSecondaryKnowsNothing() {
        var lessor = Lessor(Self.settings)
        lessor.granted(lease(1, 5), at: .at(0))
        #expect(!lessor.isPrimary)
        #expect(lessor.renew(LeaseID(1), at: .at(0)) == .notPrimary)
        #expect(lessor.timeToLive(of: LeaseID(1), at: .at(0)) == nil)
        #expect(lessor.takeDue(at: .at(1000)).isEmpty)
    }

    @Test func aLeaseEndsAfterItsTime() {
        var lessor = primary()
        lessor.granted(lease(1, 5), at: .at(0))
        #expect(ended(&lessor, at: 4.9) == [])
        #expect(lessor.timeToLive(of: LeaseID(1), at: .at(2))?.left == .seconds(3))
        #expect(ended(&lessor, at: 5.5) == [1])
        lessor.revoked(LeaseID(1))
        #expect(lessor.timeToLive(of: LeaseID(1), at: .at(6)) == nil)
        #expect(ended(&lessor, at: 100) == [])
    }

    @Test func aRenewalBeginsItsTimeAnew() {
        var lessor = primary()
        lessor.granted(lease(1, 5), at: .at(0))
        #expect(lessor.renew(LeaseID(1), at: .at(4)) == .renewed(5))
        #expect(ended(&lessor, at: 8.9) == [])
        // On the moment it is over.
        #expect(lessor.renew(LeaseID(1), at: .at(9)) == .ended)
        #expect(ended(&lessor, at: 9.5) == [1])
        #expect(lessor.renew(LeaseID(1), at: .at(9.6)) == .ended, "it is being revoked")
        lessor.revoked(LeaseID(1))
        #expect(lessor.renew(LeaseID(1), at: .at(9.7)) == .notFound)
    }

    /// A lookup between two looks would be for nothing, and what is asked for comes again only when it got lost.
    @Test func aRevocationThatGotLostIsAskedForAgain() {
        var lessor = primary()
        lessor.granted(lease(1, 5), at: .at(0))
        #expect(ended(&lessor, at: 5) == [1])
        #expect(ended(&lessor, at: 5.6) == [])
        #expect(ended(&lessor, at: 7.9) == [])
        #expect(ended(&lessor, at: 8.4) == [1])
        lessor.revoked(LeaseID(1))
        #expect(ended(&lessor, at: 20) == [])
    }

    @Test func promotionGivesEveryLeaseItsWholeTimeAndTheGrace() {
        var lessor = primary([lease(1, 10), lease(2, 10, remaining: 4)], at: 100)
        #expect(lessor.timeToLive(of: LeaseID(1), at: .at(100))?.left == .seconds(11))
        #expect(lessor.timeToLive(of: LeaseID(2), at: .at(100))?.left == .seconds(5))
        #expect(lessor.timeToLive(of: LeaseID(2), at: .at(100))?.granted == 10)
        // The grace is the new leader's alone.
        #expect(lessor.renew(LeaseID(1), at: .at(100)) == .renewed(10))
        #expect(lessor.timeToLive(of: LeaseID(1), at: .at(100))?.left == .seconds(10))
        #expect(ended(&lessor, at: 105) == [2])
    }

    @Test func demotionForgetsAndTheNextPromotionBeginsAnew() {
        var lessor = primary([lease(1, 5)])
        #expect(ended(&lessor, at: 6) == [1])
        lessor.demote()
        #expect(ended(&lessor, at: 100) == [])
        #expect(lessor.renew(LeaseID(1), at: .at(100)) == .notPrimary)
        lessor.promote([lease(1, 5)], at: .at(100))
        #expect(lessor.renew(LeaseID(1), at: .at(105.9)) == .renewed(5), "it lasts again")
    }

    @Test func timesOutsideTheLimitsAreBroughtWithin() {
        // Only a file says so.
        let lessor = primary([lease(1, 0), lease(2, .max), lease(3, -7, remaining: .max)])
        #expect(lessor.timeToLive(of: LeaseID(1), at: .at(0))?.granted == 2)
        #expect(lessor.timeToLive(of: LeaseID(2), at: .at(0))?.granted == 9_000_000_000)
        #expect(lessor.timeToLive(of: LeaseID(3), at: .at(0))?.left == .seconds(9_000_000_001))
    }

    // MARK: Many at a time

    @Test func noMoreThanTheLimitAreUnderRevocation() {
        var lessor = primary()
        for id in 1...1200 { lessor.granted(lease(Int64(id), 5), at: .at(Double(id) / 1e6)) }
        // The earliest end comes first.
        #expect(ended(&lessor, at: 10) == Array(1...500))
        // None has been revoked: no more of them.
        #expect(ended(&lessor, at: 10.5) == [])
        for id in 1...200 { lessor.revoked(LeaseID(Int64(id))) }
        #expect(ended(&lessor, at: 11) == Array(501...700))
        // Those that got lost come before the rest.
        #expect(ended(&lessor, at: 13).sorted() == Array(201...500))
        #expect(lessor.isConsistent)
    }

    @Test func aNewLeaderSetsManyLeasesApart() {
        let lessor = primary((1...3000).map { lease($0, 10) })
        var perSecond = [Int](repeating: 0, count: 10)
        for id: Int64 in 1...3000 {
            let left = lessor.timeToLive(of: LeaseID(id), at: .at(0))?.left ?? .zero
            #expect(left >= .seconds(11), "\(id)")
            perSecond[Int(left.components.seconds) - 11] += 1
        }
        #expect(perSecond.allSatisfy { $0 <= LessorLimits.endsPerSecond + 1 }, "\(perSecond)")
        #expect(perSecond.prefix(3).allSatisfy { $0 >= LessorLimits.endsPerSecond - 1 }, "\(perSecond)")
        // Few are left where they are, and so are those that end far from each other.
        let few = primary((1...999).map { lease($0, 10) })
        #expect((1...999).allSatisfy { few.timeToLive(of: LeaseID($0), at: .at(0))?.left == .seconds(11) })
        let apart = primary((1...1000).map { lease($0, 10 * $0) })
        #expect((1...1000).allSatisfy { apart.timeToLive(of: LeaseID($0), at: .at(0))?.left == .seconds(10 * $0 + 1) })
    }

    // MARK: Checkpoints

    private func checkpoints(_ lessor: inout Lessor, at seconds: Double) -> [[LeaseCheckpoint]] {
        lessor.takeDue(at: .at(seconds)).checkpoints
    }

    @Test func longLeasesAreCheckpointed() {
        var lessor = primary(settings: Self.withCheckpoints)
        lessor.granted(lease(1, 3600), at: .at(0))
        lessor.granted(lease(2, 300), at: .at(0))
        #expect(checkpoints(&lessor, at: 299) == [])
        #expect(checkpoints(&lessor, at: 300.5) == [[LeaseCheckpoint(id: LeaseID(1), remaining: 3300)]])
        lessor.checkpointed(LeaseCheckpoint(id: LeaseID(1), remaining: 3300), at: .at(301))
        #expect(checkpoints(&lessor, at: 600.9) == [])
        #expect(checkpoints(&lessor, at: 601.5) == [[LeaseCheckpoint(id: LeaseID(1), remaining: 2999)]])
        // The next leader goes on from there.
        var next = primary([lease(1, 3600, remaining: 2999)], settings: Self.withCheckpoints, at: 700)
        #expect(next.timeToLive(of: LeaseID(1), at: .at(700))?.left == .seconds(3000))
        // A renewal waits until nobody would begin there any more.
        #expect(next.renew(LeaseID(1), at: .at(701)) == .checkpointed)
        next.checkpointed(LeaseCheckpoint(id: LeaseID(1), remaining: 0), at: .at(702))
        #expect(next.renew(LeaseID(1), at: .at(702)) == .renewed(3600))
        #expect(checkpoints(&next, at: 1001) == [])
        #expect(checkpoints(&next, at: 1003) == [[LeaseCheckpoint(id: LeaseID(1), remaining: 3299)]])
    }

    @Test func aCheckpointThatGotLostIsMadeUpFor() {
        var lessor = primary(settings: Self.withCheckpoints)
        lessor.granted(lease(1, 3600), at: .at(0))
        #expect(checkpoints(&lessor, at: 300).count == 1)
        #expect(checkpoints(&lessor, at: 599) == [])
        #expect(checkpoints(&lessor, at: 600) == [[LeaseCheckpoint(id: LeaseID(1), remaining: 3000)]])
        // There is nothing to tell of a lease that was renewed just now; later there is.
        var busy = primary(settings: Self.withCheckpoints)
        busy.granted(lease(1, 3600), at: .at(0))
        #expect(busy.renew(LeaseID(1), at: .at(300)) == .renewed(3600))
        #expect(checkpoints(&busy, at: 300) == [])
        #expect(checkpoints(&busy, at: 600) == [[LeaseCheckpoint(id: LeaseID(1), remaining: 3300)]])
    }

    @Test func checkpointsComeInRequestsOfBoundedSize() {
        var lessor = primary((1...2500).map { lease($0, 3600) }, settings: Self.withCheckpoints)
        #expect(checkpoints(&lessor, at: 301).map(\.count) == [1000, 1000, 500])
        var many = primary((1...20_000).map { lease($0, 3600) }, settings: Self.withCheckpoints)
        #expect(checkpoints(&many, at: 301).map(\.count) == Array(repeating: 1000, count: 16))
        #expect(checkpoints(&many, at: 301.5).map(\.count) == Array(repeating: 1000, count: 4))
    }

    @Test func withoutTheFeatureThereAreNone() {
        var lessor = primary([lease(1, 3600, remaining: 1000)])
        #expect(lessor.takeDue(at: .at(900)).checkpoints == [])
        #expect(lessor.renew(LeaseID(1), at: .at(900)) == .renewed(3600))
    }
}
