public import Base

/// A hash over what committed entries did to the store, window by window of the log, so that members can tell that they
/// have come apart without reading their data: the same entries must have had the same effects everywhere.
///
/// Window w holds the entries w·1000+1 … (w+1)·1000. Its hash is the CRC-32C of every row and every other change that
/// those entries wrote, in order, closed with the store's revision, compaction revision and number of keys, so that
/// what came apart in an earlier window still shows. What members do in their own time (the removal of compacted rows,
/// the storage version), configuration changes, and leases, which depend on flags, are left out.
///
/// The window under way is kept in the backend, in the same commit as the entries it covers. A member that cannot
/// know the beginning of a window, because etcd has written the file in between or a snapshot came from a leader, has
/// no hash of it and starts with the next. docs/decisions/095-rolling-hash.md.
public struct EffectsHash: Sendable, Equatable {
    /// What the hash covers and how. Members compare only what is of one version: a program that gives an entry other
    /// effects than the one before has to raise it.
    public static let version = 1
    /// Entries in a window.
    public static let window: UInt64 = 1000
    /// How many finished windows are remembered.
    public static let remembered = 16

    /// A finished window.
    public struct Window: Sendable, Equatable {
        /// The last entry of it.
        public var index: LogIndex
        public var hash: UInt32

        public init(index: LogIndex, hash: UInt32) {
            self.index = index
            self.hash = hash
        }
    }

    public enum Comparison: Sendable, Equatable {
        /// Equal in every window that both know, the last of which ends here.
        case agree(through: LogIndex)
        /// The first window in which the members differ ends here: the cause lies in it or before.
        case differ(at: LogIndex)
        /// They know no window in common.
        case unknown
    }

    /// Finished windows, ascending by index.
    public private(set) var finished: [Window] = []
    /// The number of the window under way.
    private var number: UInt64 = 0
    /// Whether everything since the beginning of the window is in `crc`.
    private var isWhole = false
    private var crc = CRC32C()

    /// Of a store that has applied nothing, which knows the first window from its beginning.
    public init() { isWhole = true }

    /// Goes on behind the entry at `index`.
    /// - Parameter stored: what `encoded` gave at that entry; anything else leaves the window under way out.
    package init(after index: LogIndex, stored: [UInt8]?) {
        let next = index.rawValue
        number = next / Self.window
        guard next % Self.window != 0 else {
            isWhole = true
            return
        }
        guard let stored, stored.count == 12 else { return }
        let bytes = stored.span.bytes
        guard bytes.bigEndian64(at: 0) == index.rawValue else { return }
        crc = CRC32C(stored[8...].reduce(0) { $0 << 8 | UInt32($1) })
        isWhole = true
    }

    /// The window under way, as of the entry at `index`: the index, then the checksum, big endian. Nil if its beginning
    /// is not known.
    package func encoded(at index: LogIndex) -> [UInt8]? {
        // A configuration change may have gone into the next window already.
        guard isWhole, !endsBefore(index) else { return nil }
        var out: [UInt8] = []
        out.append(bigEndian: index.rawValue)
        for shift: UInt32 in [24, 16, 8, 0] { out.append(UInt8(truncatingIfNeeded: crc.value >> shift)) }
        return out
    }

    mutating func add(_ bytes: RawSpan) { crc.update(bytes) }

    /// Whether the entry at `index` is the first one of another window than the one under way.
    func endsBefore(_ index: LogIndex) -> Bool { (max(index.rawValue, 1) - 1) / Self.window != number }

    /// Ends the window under way, in front of the entry at `index`.
    /// - Parameter state: figures of the store as the window leaves it.
    mutating func close(before index: LogIndex, state: [Int64]) {
        for figure in state {
            var bytes: [UInt8] = []
            bytes.append(bigEndian: UInt64(bitPattern: figure))
            crc.update(bytes)
        }
        if isWhole {
            finished.append(Window(index: LogIndex((number + 1) * Self.window), hash: crc.value))
            if finished.count > Self.remembered { finished.removeFirst() }
        }
        let next = (index.rawValue - 1) / Self.window
        // Windows that were jumped over held nothing but configuration changes, or were never applied here.
        isWhole = next == number + 1
        number = next
        crc = CRC32C()
    }

    /// Compares the finished windows of two members.
    public static func compare(_ a: [Window], _ b: [Window]) -> Comparison {
        var common: LogIndex?
        for window in a {
            guard let other = b.first(where: { $0.index == window.index }) else { continue }
            guard other.hash == window.hash else { return .differ(at: window.index) }
            common = window.index
        }
        return common.map { .agree(through: $0) } ?? .unknown
    }
}
