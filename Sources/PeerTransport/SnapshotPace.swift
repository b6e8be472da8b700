package import Platform

/// The speed limit of all database snapshots that a member sends, whatever their number: who wants to send takes a
/// place in one row. The state alone; whoever asks keeps the time.
package struct SnapshotPace: Sendable {
    /// 0 is no limit.
    package let bytesPerSecond: UInt64
    /// When what has been let through so far is paid for.
    private var free = Instant(nanoseconds: 0)

    /// Pieces of a database are so short at least.
    private static let shortestPiece = 16 << 10
    /// Pieces that make one second's worth, so that a limited snapshot flows instead of coming in bursts.
    private static let piecesPerSecond: UInt64 = 10

    package init(bytesPerSecond: UInt64) { self.bytesPerSecond = bytesPerSecond }

    /// Bytes that are read and sent in one go.
    package var pieceBytes: Int {
        guard bytesPerSecond > 0 else { return PeerLimits.snapshotChunkBytes }
        let piece = Int(clamping: bytesPerSecond / Self.piecesPerSecond)
        return min(max(piece, Self.shortestPiece), PeerLimits.snapshotChunkBytes)
    }

    /// Takes a place for `count` bytes.
    /// - Returns: how long to wait before they are sent.
    package mutating func wait(for count: Int, at now: Instant) -> Duration {
        guard bytesPerSecond > 0 else { return .zero }
        // What was not used earlier is not made up for.
        let start = max(free, now)
        free = start + .nanoseconds(Int64(Double(count) / Double(bytesPerSecond) * 1e9))
        return start - now
    }
}

/// How far a snapshot is, for lines in the log: by bytes, and by time where it is slow.
package struct SnapshotProgress: Sendable {
    /// Bytes and time between two lines.
    package static let bytesInterval: Int64 = 256 << 20
    package static let timeInterval: Duration = .seconds(10)

    private let size: Int64
    private let started: Instant
    private var last: (bytes: Int64, time: Instant)

    package init(size: Int64, at now: Instant) {
        self.size = size
        started = now
        last = (0, now)
    }

    /// - Returns: what to tell now that so many bytes have been sent; nil when there is nothing to tell yet.
    package mutating func line(sent: Int64, at now: Instant) -> [(name: String, value: String)]? {
        guard sent < size, sent - last.bytes >= Self.bytesInterval || now - last.time >= Self.timeInterval else {
            return nil
        }
        last = (sent, now)
        let seconds = max((now - started).inSeconds, 1e-3)
        let rate = Double(sent) / seconds
        return [
            ("sent", "\(sent)"), ("percent", "\(Int(Double(sent) * 100 / Double(size)))"),
            ("bytes-per-second", "\(Int(rate))"),
            ("remaining", rate > 0 ? "\(Int((Double(size - sent) / rate).rounded(.up)))s" : "unknown"),
        ]
    }
}
