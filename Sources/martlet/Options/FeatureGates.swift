/// etcd's switches for features in the making, as `--feature-gates Name=true,Name=false` sets them.
package struct FeatureGates: Sendable, Equatable {
    package enum Gate: String, CaseIterable, Sendable {
        case compactHashCheck = "CompactHashCheck"
        case fastLeaseKeepAlive = "FastLeaseKeepAlive"
        case initialCorruptCheck = "InitialCorruptCheck"
        case leaseCheckpoint = "LeaseCheckpoint"
        case leaseCheckpointPersist = "LeaseCheckpointPersist"
        case priorityRequest = "PriorityRequest"
        case setMemberLocalAddress = "SetMemberLocalAddr"
        case stopServiceOnDefragmentation = "StopGRPCServiceOnDefrag"
        case sharedTransactionBuffer = "TxnModeWriteWithSharedBuffer"

        /// Gates in beta are on unless they are switched off.
        var isBeta: Bool { self == .fastLeaseKeepAlive || self == .sharedTransactionBuffer }

        /// Whether switching it makes a difference here. What etcd's shared buffer and its keep-alive without a wait
        /// are for, this server does in any case.
        var isSupported: Bool {
            switch self {
            case .compactHashCheck, .initialCorruptCheck, .leaseCheckpoint, .leaseCheckpointPersist: true
            case .fastLeaseKeepAlive, .priorityRequest, .setMemberLocalAddress, .stopServiceOnDefragmentation,
                .sharedTransactionBuffer:
                false
            }
        }
    }

    private var set: [Gate: Bool] = [:]
    private var alpha: Bool?
    private var beta: Bool?

    package init() {}

    /// - Parameter settings: `Name=true` or `Name=false` each.
    package init(_ settings: [String]) throws(ValueError) {
        for setting in settings {
            let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map {
                String($0).trimmingSpaces
            }
            guard parts.count == 2 else { throw ValueError("missing bool value for feature gate \(setting)") }
            guard case .bool(let isOn) = try? FlagKind.bool.parse(parts[1]) else {
                throw ValueError("invalid value of \(parts[0])=\(parts[1]), want true or false")
            }
            switch parts[0] {
            case "AllAlpha": alpha = isOn
            case "AllBeta": beta = isOn
            default:
                guard let gate = Gate(rawValue: parts[0]) else {
                    throw ValueError("unrecognized feature gate: \(parts[0])")
                }
                set[gate] = isOn
            }
        }
    }

    package func isOn(_ gate: Gate) -> Bool { set[gate] ?? (gate.isBeta ? beta ?? true : alpha ?? false) }

    /// Gates that are named, and not at their default, although nothing here follows from them.
    package var unsupported: [String] {
        Gate.allCases.filter { !$0.isSupported && (set[$0] ?? $0.isBeta) != $0.isBeta }.map(\.rawValue)
    }
}
