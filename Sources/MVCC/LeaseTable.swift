public import Base
internal import EtcdProto

/// A lease as bucket `lease` holds it.
public struct LeaseRecord: Sendable, Equatable {
    public var id: LeaseID
    /// Seconds granted.
    public var timeToLive: Int64
    /// Seconds that were left at the last checkpoint; 0 when there was none.
    public var remaining: Int64

    public init(id: LeaseID, timeToLive: Int64, remaining: Int64 = 0) {
        self.id = id
        self.timeToLive = timeToLive
        self.remaining = remaining
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        self.init(id: .none, timeToLive: 0)
        var cursor = WireCursor(bytes.indices)
        let span = bytes.span
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: id = LeaseID(try value.signed(field))
            case 2: timeToLive = try value.signed(field)
            case 3: remaining = try value.signed(field)
            default: break
            }
        }
    }

    var encoded: [UInt8] {
        var out: [UInt8] = []
        for (field, value) in [(1, id.rawValue), (2, timeToLive), (3, remaining)] where value != 0 {
            Wire.appendVarintField(field, UInt64(bitPattern: value), to: &out)
        }
        return out
    }

    /// Its key in bucket `lease`.
    static func key(of id: LeaseID) -> [UInt8] {
        var key: [UInt8] = []
        key.append(bigEndian: UInt64(bitPattern: id.rawValue))
        return key
    }
}

/// The leases and what is attached to them.
///
/// Invariants: a key is attached to at most one lease, and `leaseOfKey[k] == l` exactly when `keysOfLease[l]` has k.
struct LeaseTable: Sendable {
    private(set) var records: [LeaseID: LeaseRecord] = [:]
    private var keysOfLease: [LeaseID: Set<[UInt8]>] = [:]
    private var leaseOfKey: [[UInt8]: LeaseID] = [:]

    subscript(id: LeaseID) -> LeaseRecord? {
        get { records[id] }
        set { records[id] = newValue }
    }

    func lease(of key: [UInt8]) -> LeaseID? { leaseOfKey[key] }

    /// Whether no key is attached to any lease.
    var isEmptyOfKeys: Bool { leaseOfKey.isEmpty }

    /// The keys attached to a lease, ascending. O(n log n).
    func keys(of id: LeaseID) -> [[UInt8]] { (keysOfLease[id] ?? []).sorted(by: precedes) }

    /// Ascending by ID. O(n log n).
    var sorted: [LeaseRecord] { records.values.sorted { $0.id < $1.id } }

    mutating func attach(_ key: [UInt8], to id: LeaseID) {
        detach(key)
        leaseOfKey[key] = id
        keysOfLease[id, default: []].insert(key)
    }

    mutating func detach(_ key: [UInt8]) {
        guard let id = leaseOfKey.removeValue(forKey: key) else { return }
        keysOfLease[id]?.remove(key)
        if keysOfLease[id]?.isEmpty == true { keysOfLease[id] = nil }
    }
}
