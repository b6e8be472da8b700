internal import EtcdProto
internal import MVCC

/// The envelope of every command in the log, `InternalRaftRequest`: who waits for the answer, and where the request
/// lies. Format: docs/formats/backend.md, "Raft entries".
struct InternalRequest {
    /// The members of the envelope that hold a request, by field number.
    enum Kind: Int {
        case range = 3
        case put = 4
        case deleteRange = 5
        case txn = 6
        case compaction = 7
        case leaseGrant = 8
        case leaseRevoke = 9
        case alarm = 10
        case leaseCheckpoint = 11
        case authEnable = 1000
        case authDisable = 1011
        case authenticate = 1012
        case authStatus = 1013
        case authUserAdd = 1100
        case authUserDelete = 1101
        case authUserGet = 1102
        case authUserChangePassword = 1103
        case authUserGrantRole = 1104
        case authUserRevokeRole = 1105
        case authUserList = 1106
        case authRoleList = 1107
        case authRoleAdd = 1200
        case authRoleDelete = 1201
        case authRoleGet = 1202
        case authRoleGrantPermission = 1203
        case authRoleRevokePermission = 1204
        case clusterVersionSet = 1300
        case clusterMemberAttributesSet = 1301
        case downgradeInfoSet = 1302
        case downgradeVersionTest = 9900
    }

    enum Body {
        case request(Kind, Range<Int>)
        /// A request of the v2 API inside the envelope.
        case legacy(Range<Int>)
        /// Fields that this version does not know, and none that it does.
        case unknown(field: Int)
        case none
    }

    /// Under which ID the proposer waits; 0 for nobody.
    var id: UInt64 = 0
    /// Where the name of the user lies on whose behalf the request was made; empty for nobody.
    var user = 0..<0
    /// The auth revision at which the user's rights were checked before the request was proposed.
    var authRevision: UInt64 = 0
    var body = Body.none

    private static let legacyField = 2
    private static let headerField = 100

    init(_ bytes: [UInt8]) throws(WireError) {
        let span = bytes.span
        var cursor = WireCursor(bytes.indices)
        var ownID: UInt64 = 0
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: ownID = try value.unsigned(field)
            case Self.legacyField: body = .legacy(try value.bytes(field))
            case Self.headerField:
                var header = WireCursor(try value.bytes(field))
                while let (field, value) = try header.next(in: span) {
                    switch field {
                    case 1: id = try value.unsigned(field)
                    case 2: user = try value.bytes(field)
                    case 3: authRevision = try value.unsigned(field)
                    default: break
                    }
                }
            default:
                if let kind = Kind(rawValue: field) {
                    body = .request(kind, try value.bytes(field))
                } else if case .none = body {
                    body = .unknown(field: field)
                }
            }
        }
        if ownID != 0 { id = ownID }
    }
}

/// A request of the v2 API, as members up to 3.5 put it into the log for their own affairs.
struct LegacyRequest {
    var id: UInt64 = 0
    var method = ""
    var path = ""
    var value = ""

    init(_ bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        let span = bytes.span
        var cursor = WireCursor(range)
        func text(_ value: WireValue, _ field: Int) throws(WireError) -> String {
            String(decoding: bytes[try value.bytes(field)], as: UTF8.self)
        }
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: id = try value.unsigned(field)
            case 2: method = try text(value, field)
            case 3: path = try text(value, field)
            case 4: self.value = try text(value, field)
            default: break
            }
        }
    }
}
