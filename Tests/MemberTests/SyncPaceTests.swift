import Member
import Testing

/// When a loop syncs the log by itself.
struct SyncPaceTests {
    private static func pace(after syncs: [Double]) -> SyncPace {
        var pace = SyncPace()
        for seconds in syncs { pace.note(seconds) }
        return pace
    }

    private static let quick = [Double](repeating: 90e-6, count: 100)

    @Test func aDiskIsSlowUntilItHasShownOtherwise() {
        #expect(!SyncPace().isQuick)
        #expect(!Self.pace(after: Array(Self.quick.prefix(50))).isQuick)
        #expect(Self.pace(after: Self.quick).isQuick)
    }

    @Test(arguments: [1e-3, 4e-3, 12e-3, 19e-3]) func stallsNowAndThenDoNotMakeItSlow(stall: Double) {
        var pace = Self.pace(after: Self.quick)
        for _ in 0..<100 {
            pace.note(stall)
            #expect(pace.isQuick)
            for _ in 0..<5 {
                pace.note(110e-6)
                #expect(pace.isQuick)
            }
        }
    }

    @Test func aDiskThatBecomesSlowIsNoticedInAScoreOfSyncs() {
        #expect(!Self.pace(after: Self.quick + [Double](repeating: 2e-3, count: 20)).isQuick)
    }

    @Test func aDiskThatHasTakenNoTimeForLongCanBecomeSlow() {
        let none = [Double](repeating: 0, count: 10_000)
        #expect(Self.pace(after: none).isQuick)
        #expect(!Self.pace(after: none + [Double](repeating: 2e-3, count: 30)).isQuick)
    }

    @Test(arguments: [20e-3, 0.1, 3]) func oneLongStallIsEnough(stall: Double) {
        var pace = Self.pace(after: Self.quick + [stall])
        #expect(!pace.isQuick)
        var syncs = 0
        while !pace.isQuick && syncs < 1000 {
            pace.note(90e-6)
            syncs += 1
        }
        #expect((30...100).contains(syncs), "\(syncs) quick syncs after one of \(stall) s")
    }

    @Test func aDiskWhoseSyncsAreSlowInTheMiddleIsSlow() {
        // Three slow ones of five: the mean of these, 0.6 ms, says the same.
        let mixed = (0..<200).map { $0 % 5 < 3 ? 1e-3 : 50e-6 }
        #expect(!Self.pace(after: Self.quick + mixed).isQuick)
    }
}
