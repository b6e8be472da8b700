import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

/// Data directories that released etcd servers left, served by Martlet's program; and then by etcd of the same minor
/// version again, with everything old and new.
@Suite(.serialized) struct WayBackTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var version: String
        var archive: String
        var expected: String
        var testDescription: String { "\(version) \(archive)" }

        /// A program of the same minor version to go back to: 3.5.1 and 3.4.23 can be had.
        func program(_ purpose: String) -> ServerProgram? {
            switch version {
            case "3.4.23": Programs.etcd34(for: purpose)
            case "3.5.1": Programs.etcd35(for: purpose)
            default: nil
            }
        }
    }

    static let cases: [Case] = ["3.4.23", "3.5.1", "3.6.14", "3.7.1"].flatMap { version in
        [
            Case(version: version, archive: "single", expected: "single.expected.json.gz"),
            Case(version: version, archive: "crash", expected: "crash.expected.json.gz"),
            Case(version: version, archive: "walcut", expected: "walcut.expected.json"),
            Case(version: version, archive: "restored", expected: "single.expected.json.gz"),
        ]
    }

    private struct Unexpected: Error, CustomStringConvertible {
        var description: String
        init(_ description: String) { self.description = description }
    }

    /// A client of a server whose authentication may be on.
    private struct Client {
        var connection: UnaryClient
        var token: String?

        func call<Response: SwiftProtobuf.Message>(
            _ path: String, _ request: some SwiftProtobuf.Message, as type: Response.Type = Response.self
        ) async throws -> Response {
            let metadata = token.map { [("token", $0)] } ?? []
            switch try await connection.call(path, request.serializedBytes(), metadata: metadata) {
            case .message(let bytes): return try Response(serializedBytes: bytes)
            case .failure(let code, let message): throw Unexpected("\(code): \(message)")
            }
        }

        func keyValues(at revision: Int64) async throws -> [ExpectedContent.KeyValue]? {
            let request = Etcdserverpb_RangeRequest.with {
                $0.key = Data([0])
                $0.rangeEnd = Data([0])
                $0.revision = revision
            }
            do {
                let response: Etcdserverpb_RangeResponse = try await call("/etcdserverpb.KV/Range", request)
                return response.kvs.map {
                    .init(
                        key: Array($0.key), createRevision: $0.createRevision, modRevision: $0.modRevision,
                        version: $0.version, value: Array($0.value), lease: $0.lease)
                }
            } catch let error as Unexpected where error.description.contains("has been compacted") {
                return nil
            }
        }

        func hash(at revision: Int64) async throws -> UInt32 {
            let response: Etcdserverpb_HashKVResponse = try await call(
                "/etcdserverpb.Maintenance/HashKV", Etcdserverpb_HashKVRequest.with { $0.revision = revision })
            return response.hash
        }

        func put(_ key: String, lease: Int64 = 0) async throws {
            let request = Etcdserverpb_PutRequest.with {
                $0.key = Data(key.utf8)
                $0.value = Data("new".utf8)
                $0.lease = lease
            }
            _ = try await call("/etcdserverpb.KV/Put", request, as: Etcdserverpb_PutResponse.self)
        }

        func alarms(_ action: Etcdserverpb_AlarmRequest.AlarmAction) async throws -> [UInt64] {
            let request = Etcdserverpb_AlarmRequest.with {
                $0.action = action
                $0.alarm = .nospace
            }
            let response: Etcdserverpb_AlarmResponse = try await call("/etcdserverpb.Maintenance/Alarm", request)
            return response.alarms.map(\.memberID)
        }

        func disarm(_ member: UInt64) async throws {
            let request = Etcdserverpb_AlarmRequest.with {
                $0.action = .deactivate
                $0.memberID = member
                $0.alarm = .nospace
            }
            _ = try await call("/etcdserverpb.Maintenance/Alarm", request, as: Etcdserverpb_AlarmResponse.self)
        }
    }

    private func expectContent(_ expected: ExpectedContent, _ client: Client, _ who: String) async throws {
        for (revision, state) in expected.states {
            #expect(try await client.keyValues(at: revision) == state, "\(who), revision \(revision)")
        }
        for (revision, hash) in expected.hashes where revision > 0 {
            #expect(try await client.hash(at: revision) == hash, "\(who), HashKV at \(revision)")
        }
    }

    /// Leases, users and roles as etcd's own services tell them.
    private func expectServices(_ expected: ExpectedContent, _ client: Client) async throws {
        for lease in expected.leases {
            let request = Etcdserverpb_LeaseTimeToLiveRequest.with {
                $0.id = lease.id
                $0.keys = true
            }
            let response: Etcdserverpb_LeaseTimeToLiveResponse = try await client.call(
                "/etcdserverpb.Lease/LeaseTimeToLive", request)
            #expect(response.grantedTtl == lease.timeToLive)
            let keys = Set(response.keys.map { Array($0) })
            #expect(keys.isSuperset(of: lease.keys))
        }
        for (user, roles) in expected.users {
            let response: Etcdserverpb_AuthUserGetResponse = try await client.call(
                "/etcdserverpb.Auth/UserGet", Etcdserverpb_AuthUserGetRequest.with { $0.name = user })
            #expect(response.roles.sorted() == roles)
        }
        let roles: Etcdserverpb_AuthRoleListResponse = try await client.call(
            "/etcdserverpb.Auth/RoleList", Etcdserverpb_AuthRoleListRequest())
        #expect(roles.roles.sorted() == expected.roles)
    }

    private func connect(_ server: ServerProcess, user: String? = nil) async throws -> Client {
        var client = Client(connection: try await UnaryClient.connect(to: server))
        guard let user else { return client }
        let request = Etcdserverpb_AuthenticateRequest.with {
            $0.name = user
            $0.password = user + "pw"
        }
        let response: Etcdserverpb_AuthenticateResponse = try await client.call(
            "/etcdserverpb.Auth/Authenticate", request)
        client.token = response.token
        return client
    }

    /// With authentication on and no token to show, nothing is served.
    private func expectRefusals(_ client: Client) async throws {
        let refusal = Answer.failure(EtcdError(.invalidArgument, "etcdserver: user name is empty"))
        let requests: [(String, any SwiftProtobuf.Message)] = [
            ("/etcdserverpb.KV/Range", Etcdserverpb_RangeRequest.with { $0.key = Data("c".utf8) }),
            ("/etcdserverpb.KV/Put", Etcdserverpb_PutRequest.with { $0.key = Data("c".utf8) }),
            ("/etcdserverpb.KV/DeleteRange", Etcdserverpb_DeleteRangeRequest.with { $0.key = Data("c".utf8) }),
            ("/etcdserverpb.KV/Txn", Etcdserverpb_TxnRequest()),
            ("/etcdserverpb.KV/Compact", Etcdserverpb_CompactionRequest.with { $0.revision = 100 }),
            ("/etcdserverpb.Maintenance/HashKV", Etcdserverpb_HashKVRequest()),
            ("/etcdserverpb.Maintenance/Status", Etcdserverpb_StatusRequest()),
            ("/etcdserverpb.Cluster/MemberList", Etcdserverpb_MemberListRequest()),
        ]
        for (path, request) in requests {
            #expect(try await client.connection.call(path, request.serializedBytes()) == refusal, "\(path)")
        }
    }

    @Test(arguments: cases) func thereAndBack(_ test: Case) async throws {
        let purpose = "data directory \(test)"
        guard let martlet = Programs.martlet(for: purpose),
            let expected = try ExpectedContent("etcd-\(test.version)/\(test.expected)"),
            let fixture = try FixtureArchive("etcd-\(test.version)/\(test.archive).tar.gz")
        else { return }
        let isClosed = test.archive == "crash"
        let options = ServerProcess.Options(dataDirectory: fixture.path)
        // The alarm of the directory is to be seen, so it must not be taken back.
        var own = options
        own.arguments = ["--manual-nospace-disarm"]
        let server = try await ServerProcess.start(martlet, own)
        let client = try await connect(server)
        var added = 0
        if isClosed {
            try await expectRefusals(client)
        } else {
            try await expectContent(expected, client, "martlet")
            if let alarm = expected.noSpaceAlarms.first, test.archive == "single" {
                #expect(try await client.alarms(.get) == [alarm])
                await #expect(throws: Unexpected.self) { try await client.put("full") }
                try await client.disarm(alarm)
            }
            let lease = expected.leases.first?.id ?? 0
            for number in 0..<30 { try await client.put("martlet/\(number)", lease: number == 7 ? lease : 0) }
            added = 30
        }
        let hash = isClosed ? nil : try await client.hash(at: 0)
        await client.connection.close()
        let end = await server.stop()
        #expect(end != nil)
        guard let etcd = test.program(purpose) else {
            print("ran: \(test.testDescription), martlet only (no program of that version to go back to)")
            return
        }
        print("ran: \(test.testDescription), and back to \(etcd)")
        let successor = try await ServerProcess.start(etcd, options)
        let reader = try await connect(successor, user: isClosed ? "root" : nil)
        try await expectContent(expected, reader, "\(etcd)")
        try await expectServices(expected, reader)
        if let hash { #expect(try await reader.hash(at: 0) == hash) }
        let now = try #require(try await reader.keyValues(at: 0))
        #expect(now.count { $0.key.starts(with: "martlet/".utf8) } == added)
        try await reader.put("etcd")
        await reader.connection.close()
        await successor.stop()

        // And once more: what etcd wrote on top of Martlet's is Martlet's to go on with.
        let again = try await ServerProcess.start(martlet, options)
        let last = try await connect(again)
        if isClosed {
            try await expectRefusals(last)
        } else {
            let state = try #require(try await last.keyValues(at: 0))
            #expect(state.count == now.count + 1)
            try await expectContent(expected, last, "martlet again")
        }
        await last.connection.close()
        await again.stop()
    }
}
