import Foundation

/// What a released etcd answered just before it left one of the golden data directories: `*.expected.json`.
public struct ExpectedContent: Sendable {
    public struct KeyValue: Sendable, Equatable, CustomStringConvertible {
        public var key: [UInt8]
        public var createRevision: Int64
        public var modRevision: Int64
        public var version: Int64
        public var value: [UInt8]
        public var lease: Int64

        public init(
            key: [UInt8], createRevision: Int64, modRevision: Int64, version: Int64, value: [UInt8], lease: Int64
        ) {
            self.key = key
            self.createRevision = createRevision
            self.modRevision = modRevision
            self.version = version
            self.value = value
            self.lease = lease
        }

        public var description: String {
            "\(String(decoding: key, as: UTF8.self)) \(createRevision)/\(modRevision)/\(version), \(value.count) bytes, "
                + "lease \(lease)"
        }
    }

    public struct Lease: Sendable, Equatable {
        public var id: Int64
        public var timeToLive: Int64
        public var keys: [[UInt8]]

        public init(id: Int64, timeToLive: Int64, keys: [[UInt8]]) {
            self.id = id
            self.timeToLive = timeToLive
            self.keys = keys
        }
    }

    public struct Member: Sendable, Equatable {
        public var id: UInt64
        public var name: String
        public var peerURLs: [String]
        public var clientURLs: [String]
        public var isLearner: Bool

        public init(id: UInt64, name: String, peerURLs: [String], clientURLs: [String], isLearner: Bool) {
            self.id = id
            self.name = name
            self.peerURLs = peerURLs
            self.clientURLs = clientURLs
            self.isLearner = isLearner
        }
    }

    /// By revision, ascending: all keys, or nil where the revision had been compacted.
    public var states: [(revision: Int64, keyValues: [KeyValue]?)]
    /// By revision, ascending; 0 is the current one. Only those that a restarted server still gives.
    public var hashes: [(revision: Int64, hash: UInt32)]
    public var currentRevision: Int64
    /// Ascending by ID.
    public var leases: [Lease]
    /// Roles by user.
    public var users: [String: [String]]
    public var roles: [String]
    /// Ascending by ID.
    public var members: [Member]
    /// `memberID` of each NOSPACE alarm.
    public var noSpaceAlarms: [UInt64]
    /// nil where that version could not tell.
    public var authRevision: UInt64?
    public var isAuthEnabled: Bool?
    /// `Maintenance.Hash`.
    public var maintenanceHash: UInt32?

    /// - Parameter file: below the folder of fixtures, such as `etcd-3.5.1/single.expected.json.gz`.
    /// - Returns: nil where there are no fixtures; a line says what is skipped then.
    public init?(_ file: String) throws {
        guard let fixtures = PackageFiles.fixtures(for: file) else { return nil }
        let document = try JSONDecoder().decode(Document.self, from: try Self.bytes(of: fixtures + "/" + file))
        states = document.kv_at_revision.map { (Int64($0.key) ?? -1, $0.value.keyValues) }.sorted { $0.0 < $1.0 }
        let compacted = document.hashkv["0"]?.compact_revision ?? -1
        hashes = document.hashkv.compactMap { revision, answer in
            guard let revision = Int64(revision), let hash = answer.hash, revision == 0 || revision > compacted else {
                return nil
            }
            return (revision, hash)
        }.sorted { $0.0 < $1.0 }
        currentRevision = document.current_revision
        leases = document.leases.map { lease in
            Lease(
                id: Int64(lease.ID) ?? 0, timeToLive: Int64(lease.grantedTTL) ?? 0, keys: lease.keys.map { Array($0) })
        }.sorted { $0.id < $1.id }
        users = document.users
        roles = document.roles.keys.sorted()
        members = document.members.members.map {
            Member(
                id: UInt64($0.ID) ?? 0, name: $0.name ?? "", peerURLs: $0.peerURLs ?? [],
                clientURLs: $0.clientURLs ?? [], isLearner: $0.isLearner ?? false)
        }.sorted { $0.id < $1.id }
        noSpaceAlarms = document.alarms.filter { $0.alarm == "NOSPACE" }.compactMap { UInt64($0.memberID) }
        authRevision = document.auth_status?.authRevision.flatMap { UInt64($0) }
        isAuthEnabled = document.auth_status?.authRevision == nil ? nil : document.auth_status?.enabled ?? false
        maintenanceHash = document.maintenance_hash
    }

    private static func bytes(of path: String) throws -> Data {
        guard path.hasSuffix(".gz") else { return try Data(contentsOf: URL(fileURLWithPath: path)) }
        let (end, bytes) = try Spawn.output(of: "/usr/bin/env", ["gzip", "-dc", path])
        guard end?.isSuccess == true else { throw FixtureArchive.Unreadable(description: "gzip -dc \(path) failed") }
        return Data(bytes)
    }
}

/// The file as it is written; numbers of 64 bits are strings.
private struct Document: Decodable {
    struct KeyValue: Decodable {
        var key: Data
        var create_revision: String?
        var mod_revision: String?
        var version: String?
        var value: Data?
        var lease: String?
    }
    /// A list, or an object with an error.
    struct State: Decodable {
        var keyValues: [ExpectedContent.KeyValue]?

        init(from decoder: any Decoder) throws {
            keyValues = (try? [KeyValue](from: decoder)).map { list in
                list.map { item in
                    ExpectedContent.KeyValue(
                        key: Array(item.key), createRevision: Int64(item.create_revision ?? "") ?? 0,
                        modRevision: Int64(item.mod_revision ?? "") ?? 0, version: Int64(item.version ?? "") ?? 0,
                        value: Array(item.value ?? Data()), lease: Int64(item.lease ?? "") ?? 0)
                }
            }
        }
    }
    struct Hash: Decodable {
        var hash: UInt32?
        var compact_revision: Int64?
    }
    struct Lease: Decodable {
        var ID: String
        var grantedTTL: String
        var keys: [Data]
    }
    struct Alarm: Decodable {
        var memberID: String
        var alarm: String
    }
    struct Member: Decodable {
        var ID: String
        var name: String?
        var peerURLs: [String]?
        var clientURLs: [String]?
        var isLearner: Bool?
    }
    struct Members: Decodable { var members: [Member] }
    struct AuthStatus: Decodable {
        var authRevision: String?
        var enabled: Bool?
    }
    struct Permission: Decodable {}

    var kv_at_revision: [String: State]
    var hashkv: [String: Hash]
    var current_revision: Int64
    var leases: [Lease]
    var users: [String: [String]]
    var roles: [String: [Permission]]
    var members: Members
    var alarms: [Alarm]
    var auth_status: AuthStatus?
    var maintenance_hash: UInt32?
}
