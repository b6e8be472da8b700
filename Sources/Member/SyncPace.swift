/// What a sync of the log takes on this disk, ordinarily: whether a loop that has nothing else to do had better wait
/// for it than wake a thread.
///
/// It follows the middle of the syncs, not their mean: one stall among a hundred syncs says nothing about the next
/// one. A stall that holds up a loop for long counts at once. Decision: docs/decisions/111-lone-sync.md.
package struct SyncPace: Equatable, Sendable {
    /// Waking the log's thread and being woken by it costs some 50 µs; with a sync that takes longer, they do not
    /// matter.
    static let quickSeconds = 250e-6
    /// A loop that stands still for so long is missed, by heartbeats too.
    static let stallSeconds = 20e-3
    /// No sync takes less; a middle that fell for ever would find the way back too long.
    private static let shortestSeconds = 10e-6
    /// The share of itself by which each sync moves the middle.
    private static let step = 1.0 / 8

    /// Seconds. Slow until the first syncs have shown otherwise.
    private var middle = 1.0

    package init() {}

    /// Most syncs are quicker than to hand them to the log's thread and hear of them.
    package var isQuick: Bool { middle < Self.quickSeconds }

    /// A sync has taken so long. O(1).
    package mutating func note(_ seconds: Double) {
        if seconds >= Self.stallSeconds {
            middle = max(middle, seconds)
        } else {
            middle = max(middle + middle * (seconds > middle ? Self.step : -Self.step), Self.shortestSeconds)
        }
    }
}
