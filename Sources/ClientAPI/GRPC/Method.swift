/// The methods that are served. The raw value is what the HTTP/2 layer hands back with each call.
package enum Method: Int, CaseIterable, Sendable {
    case range
    case put
    case deleteRange
    case txn
    case compact
    case status
    case hashKV
    case alarm
    case snapshot
    case defragment
    case memberList
    case memberAdd
    case memberRemove
    case memberUpdate
    case memberPromote
    case moveLeader
    case downgrade
    case healthCheck

    package var service: String {
        switch self {
        case .range, .put, .deleteRange, .txn, .compact: "etcdserverpb.KV"
        case .status, .hashKV, .alarm, .snapshot, .defragment, .moveLeader, .downgrade: "etcdserverpb.Maintenance"
        case .memberList, .memberAdd, .memberRemove, .memberUpdate, .memberPromote: "etcdserverpb.Cluster"
        case .healthCheck: "grpc.health.v1.Health"
        }
    }

    package var name: String {
        switch self {
        case .range: "Range"
        case .put: "Put"
        case .deleteRange: "DeleteRange"
        case .txn: "Txn"
        case .compact: "Compact"
        case .status: "Status"
        case .hashKV: "HashKV"
        case .alarm: "Alarm"
        case .snapshot: "Snapshot"
        case .defragment: "Defragment"
        case .memberList: "MemberList"
        case .memberAdd: "MemberAdd"
        case .memberRemove: "MemberRemove"
        case .memberUpdate: "MemberUpdate"
        case .memberPromote: "MemberPromote"
        case .moveLeader: "MoveLeader"
        case .downgrade: "Downgrade"
        case .healthCheck: "Check"
        }
    }

    /// Whether the answer is a stream of messages.
    package var isServerStream: Bool { self == .snapshot }

    package var path: String { "/\(service)/\(name)" }

    /// Every service of etcd; a path below one of them names an unknown method, not an unknown service.
    package static let services: Set<String> = [
        "etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease", "etcdserverpb.Cluster",
        "etcdserverpb.Maintenance", "etcdserverpb.Auth", "v3lockpb.Lock", "v3electionpb.Election",
        "grpc.health.v1.Health",
    ]
}
