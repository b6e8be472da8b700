import EtcdProto
import Foundation
import HTTP2
import NIOCore
import SwiftProtobuf
import TestSupport
import Testing

/// A cluster whose members may be of different programs, each a process on loopback ports of its own. Driven by one
/// task.
final class ClusterUnderTest {
    struct Member {
        var program: ServerProgram
        var options: ServerProcess.Options
        /// nil while it does not run.
        var server: ServerProcess?
        var id: UInt64 = 0
    }

    struct Failed: Error, CustomStringConvertible {
        var description: String
    }

    private let directory: String
    /// TLS between the members and for their clients; nil for none.
    let security: TestSecurity?
    private(set) var members: [Member] = []
    private var made = 0

    init(_ directory: String, security: TestSecurity? = nil) {
        self.directory = directory
        self.security = security
    }

    /// Runs `body` with a cluster that the programs have founded together, and ends all members whatever happens.
    /// - Parameter prepare: changes the members' options before they start.
    static func with(
        _ programs: [ServerProgram], arguments: [String] = [], security: TestSecurity? = nil,
        prepare: (inout [ServerProcess.Options]) async throws -> Void = { _ in },
        _ body: (ClusterUnderTest) async throws -> Void
    ) async throws {
        let directory = try PackageFiles.temporaryDirectory("cluster")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let cluster = ClusterUnderTest(directory, security: security)
        do {
            try await cluster.found(programs, arguments, prepare)
            try await body(cluster)
        } catch {
            for member in cluster.members {
                print("\(member.options.name) (\(member.program)):\n\(member.server?.log.suffix(2000) ?? "")")
            }
            await cluster.end()
            throw error
        }
        await cluster.end()
    }

    private func makeOptions(_ arguments: [String]) -> ServerProcess.Options {
        made += 1
        var options = ServerProcess.Options(dataDirectory: "\(directory)/m\(made)", arguments: arguments)
        options.name = "m\(made)"
        options.security = security
        return options
    }

    private func found(
        _ programs: [ServerProgram], _ arguments: [String],
        _ prepare: (inout [ServerProcess.Options]) async throws -> Void
    ) async throws {
        members = programs.map { Member(program: $0, options: makeOptions(arguments)) }
        let list = memberList
        for i in members.indices { members[i].options.initialCluster = list }
        var options = members.map(\.options)
        try await prepare(&options)
        for i in members.indices { members[i].options = options[i] }
        // All at once: none is ready before a quorum has started.
        try await withThrowingTaskGroup(of: (Int, ServerProcess).self) { group in
            for (i, member) in members.enumerated() {
                group.addTask { (i, try await ServerProcess.start(member.program, member.options)) }
            }
            for try await (i, server) in group { members[i].server = server }
        }
        for i in members.indices { members[i].id = try await status(of: i).header.memberID }
    }

    private var memberList: String {
        members.map { "\($0.options.name)=\($0.options.peerURL)" }.joined(separator: ",")
    }

    func end() async {
        await withTaskGroup(of: Void.self) { group in
            for case let server? in members.map(\.server) { group.addTask { await server.crash() } }
        }
    }

    var running: [Int] { members.indices.filter { members[$0].server != nil } }

    // MARK: Members

    func crash(_ i: Int) async {
        await members[i].server?.crash()
        members[i].server = nil
    }

    func stop(_ i: Int) async {
        await members[i].server?.stop()
        members[i].server = nil
    }

    /// Starts a member that is down, with the program that it had or another.
    func restart(_ i: Int, as program: ServerProgram? = nil) async throws {
        if let program { members[i].program = program }
        members[i].server = try await ServerProcess.start(members[i].program, members[i].options)
    }

    /// Adds a learner, waits until it has caught up, and makes it a voter.
    /// - Returns: its place among the members.
    @discardableResult
    func join(_ program: ServerProgram, arguments: [String] = []) async throws -> Int {
        var options = makeOptions(arguments)
        let added: Etcdserverpb_MemberAddResponse = try await untilAccepted {
            try await self.ask(
                try await self.leader(), "Cluster/MemberAdd",
                Etcdserverpb_MemberAddRequest.with {
                    $0.peerUrls = [options.peerURL]
                    $0.isLearner = true
                })
        }
        members.append(Member(program: program, options: options, id: added.member.id))
        options.initialCluster = memberList
        options.joins = true
        let i = members.count - 1
        members[i].options = options
        members[i].server = try await ServerProcess.start(program, options)
        let _: Etcdserverpb_MemberPromoteResponse = try await untilAccepted {
            try await self.ask(
                self.running[0], "Cluster/MemberPromote",
                Etcdserverpb_MemberPromoteRequest.with { $0.id = added.member.id })
        }
        return i
    }

    /// Removes a member, which ends by itself.
    func remove(_ i: Int) async throws {
        let id = members[i].id
        let other = try #require(running.first { $0 != i })
        let _: Etcdserverpb_MemberRemoveResponse = try await untilAccepted {
            try await self.ask(other, "Cluster/MemberRemove", Etcdserverpb_MemberRemoveRequest.with { $0.id = id })
        }
        if let server = members[i].server {
            let end = await server.waitForEnd(timeout: .seconds(10))
            #expect(end?.status == 0 && end?.signalled == false, "\(members[i].program) did not end after its removal")
        }
        members.remove(at: i)
    }

    func moveLeadership(to i: Int) async throws {
        let from = try await leader()
        guard from != i else { return }
        let _: Etcdserverpb_MoveLeaderResponse = try await ask(
            from, "Maintenance/MoveLeader", Etcdserverpb_MoveLeaderRequest.with { $0.targetID = members[i].id })
        try await wait("leadership of \(members[i].options.name)") { try await self.leader() == i }
    }

    // MARK: Calls

    func ask<Response: Message>(
        _ i: Int, _ method: String, _ request: some Message, timeout: TimeAmount = .seconds(8)
    ) async throws -> Response {
        guard let server = members[i].server else { throw Failed(description: "\(members[i].options.name) is down") }
        let client = try await UnaryClient.connect(to: server)
        let answer = try await client.call(
            "/etcdserverpb.\(method)", try request.serializedBytes(), timeout: timeout)
        await client.close()
        switch answer {
        case .message(let bytes): return try Response(serializedBytes: bytes)
        case .failure(let code, let text): throw Failed(description: "\(method) at \(members[i]): \(code) \(text)")
        }
    }

    func status(of i: Int) async throws -> Etcdserverpb_StatusResponse {
        try await ask(i, "Maintenance/Status", Etcdserverpb_StatusRequest())
    }

    /// The member that leads, waited for.
    func leader() async throws -> Int {
        var found: Int?
        try await wait("a leader") {
            for i in self.running {
                guard let status = try? await self.status(of: i) else { continue }
                if status.leader != 0, status.leader == self.members[i].id { found = i }
            }
            return found != nil
        }
        return try #require(found)
    }

    func put(_ key: String, _ value: String, at i: Int, timeout: TimeAmount = .seconds(8)) async throws {
        let _: Etcdserverpb_PutResponse = try await ask(
            i, "KV/Put",
            Etcdserverpb_PutRequest.with {
                $0.key = Data(key.utf8)
                $0.value = Data(value.utf8)
            }, timeout: timeout)
    }

    func get(_ key: String, at i: Int, timeout: TimeAmount = .seconds(8)) async throws -> String? {
        let response: Etcdserverpb_RangeResponse = try await ask(
            i, "KV/Range", Etcdserverpb_RangeRequest.with { $0.key = Data(key.utf8) }, timeout: timeout)
        return response.kvs.first.map { String(decoding: $0.value, as: UTF8.self) }
    }

    /// Puts many keys, many at a time.
    func fill(_ count: Int, bytes: Int, at i: Int) async throws {
        let client = try await UnaryClient.connect(to: try #require(members[i].server))
        let lanes = 100
        try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    for number in stride(from: lane, to: count, by: lanes) {
                        let request = Etcdserverpb_PutRequest.with {
                            $0.key = Data("fill/\(number)".utf8)
                            $0.value = Data(repeating: UInt8(truncatingIfNeeded: number), count: bytes)
                        }
                        let answer = try await client.call(.put(request))
                        if case .failure(let code, let text) = answer {
                            throw Failed(description: "put \(number): \(code) \(text)")
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        await client.close()
    }

    /// All members that run have the same hash of all history up to one revision, also while writes go on.
    func expectEqualHashes(_ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let newest: Etcdserverpb_HashKVResponse = try await ask(
            try await leader(), "Maintenance/HashKV", Etcdserverpb_HashKVRequest())
        let request = Etcdserverpb_HashKVRequest.with { $0.revision = newest.header.revision }
        var hashes: [UInt32] = []
        for i in running {
            try await wait("revision \(request.revision) at \(members[i])") {
                guard let hash: Etcdserverpb_HashKVResponse = try? await self.ask(i, "Maintenance/HashKV", request)
                else { return false }
                hashes.append(hash.hash)
                return true
            }
        }
        #expect(
            Set(hashes).count == 1, "hashes at revision \(request.revision): \(hashes) \(comment?.rawValue ?? "")",
            sourceLocation: sourceLocation)
    }

    // MARK: Waiting

    func wait(
        _ what: String, atMost limit: Duration = .seconds(20), until condition: () async throws -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + limit
        while try await !condition() {
            if ContinuousClock.now >= deadline { throw Failed(description: "waited in vain for \(what)") }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Tries again while the cluster says that it is not healthy enough, or that a learner has not caught up.
    private func untilAccepted<T>(_ body: () async throws -> T) async throws -> T {
        let deadline = ContinuousClock.now + .seconds(30)
        while true {
            do { return try await body() } catch let error as Failed {
                let passes = ["unhealthy cluster", "in sync with leader", "not enough started", "timed out", "leader"]
                guard passes.contains(where: error.description.contains), ContinuousClock.now < deadline else {
                    throw error
                }
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }
}

extension ClusterUnderTest.Member: CustomStringConvertible {
    var description: String { "\(options.name) (\(program))" }
}
