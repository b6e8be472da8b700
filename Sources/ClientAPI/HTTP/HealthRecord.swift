internal import Synchronization

/// How the health checks went so far, for the metrics.
package struct HealthCounters: Sendable {
    package struct Check: Sendable {
        /// `livez` or `readyz`.
        package var kind: String
        package var name: String
        package var lastPassed = false
        package var passed: UInt64 = 0
        package var failed: UInt64 = 0
    }

    /// Outcomes of `/health`.
    package var succeeded: UInt64 = 0
    package var failed: UInt64 = 0
    /// In the order of their first use; their names are ours, so there are few.
    package var checks: [Check] = []
    package var scrapes: UInt64 = 0
    package var failedScrapes: UInt64 = 0

    package init() {}
}

/// The counters, shared by all event loops: health checks are rare.
package final class HealthRecord: Sendable {
    private let state = Mutex(HealthCounters())

    package init() {}

    package var counters: HealthCounters { state.withLock { $0 } }

    func health(passed: Bool) {
        state.withLock { if passed { $0.succeeded += 1 } else { $0.failed += 1 } }
    }

    func scrape(passed: Bool) {
        state.withLock { if passed { $0.scrapes += 1 } else { $0.failedScrapes += 1 } }
    }

    func check(_ kind: String, _ name: String, passed: Bool) {
        state.withLock { counters in
            let found = counters.checks.firstIndex { $0.kind == kind && $0.name == name }
            let index = found ?? counters.checks.count
            if found == nil { counters.checks.append(.init(kind: kind, name: name)) }
            counters.checks[index].lastPassed = passed
            if passed { counters.checks[index].passed += 1 } else { counters.checks[index].failed += 1 }
        }
    }
}
