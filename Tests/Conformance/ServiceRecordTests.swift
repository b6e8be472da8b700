import EtcdProto
import Foundation
import TestSupport
import Testing

/// Members that find each other by SRV records. Each runs with an /etc/resolv.conf of its own, which names a DNS server
/// in this process.
@Suite(.serialized) struct ServiceRecordTests {
    private static let domain = "martlet.test"

    /// Runs `body` with a DNS server, and a command that runs a program so that it asks that server.
    private func withNameServer(
        _ records: NameServer.Records, for purpose: String, _ body: (_ wrapper: [String]) async throws -> Void
    ) async throws {
        let directory = try PackageFiles.temporaryDirectory("dns")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        guard let server = try await NameServer.start(records) else {
            print("skipped: \(purpose) (may not listen on port 53)")
            return
        }
        let settings = directory + "/resolv.conf"
        try Data("nameserver \(server.address)\noptions timeout:1 attempts:2\n".utf8)
            .write(to: URL(fileURLWithPath: settings))
        let script = "mount --bind '\(settings)' /etc/resolv.conf && exec \"$0\" \"$@\""
        let wrapper = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script]
        let trial = try? await Subprocess.run(wrapper[0], Array(wrapper.dropFirst()) + ["/bin/true"])
        let result: Result<Void, any Error>
        if trial?.status == 0 {
            do { result = .success(try await body(wrapper)) } catch { result = .failure(error) }
        } else {
            print("skipped: \(purpose) (may not mount a file)")
            result = .success(())
        }
        await server.stop()
        try result.get()
    }

    private static func host(_ i: Int) -> String { "m\(i + 1).\(domain)" }

    /// Records that name members at these ports, all of them on this machine.
    private static func records(_ service: String, ports: [Int]) -> NameServer.Records {
        var records = NameServer.Records()
        records.services["_\(service)._tcp.\(domain)"] = ports.enumerated().map { (host($0.offset), $0.element) }
        for i in ports.indices { records.addresses[host(i)] = [127, 0, 0, 1] }
        return records
    }

    @Test(arguments: [false, true]) func membersFindEachOther(withEtcd: Bool) async throws {
        let purpose = withEtcd ? "SRV records in a mixed cluster" : "SRV records"
        guard let martlet = Programs.martlet(for: purpose) else { return }
        var programs = [martlet, martlet, martlet]
        if withEtcd {
            guard let etcd = Programs.etcd35(for: purpose) else { return }
            programs[1] = etcd
        }
        let ports = programs.map { _ in LoopbackPorts.next() }
        let records = Self.records("etcd-server-blue", ports: ports)
        try await withNameServer(records, for: purpose) { wrapper in
            let flags = ["--discovery-srv", Self.domain, "--discovery-srv-name", "blue"]
            let prepare = { (options: inout [ServerProcess.Options]) in
                for i in options.indices {
                    options[i].discovers = true
                    options[i].peerPort = ports[i]
                    options[i].arguments += flags
                    options[i].wrapper = wrapper
                }
            }
            try await ClusterUnderTest.with(programs, prepare: prepare) { cluster in
                for i in cluster.running { try await cluster.put("at/\(i)", "\(i)", at: i) }
                for i in cluster.running {
                    for j in cluster.running { #expect(try await cluster.get("at/\(j)", at: i) == "\(j)") }
                }
                // What each published of itself has replaced the numbers, and the URLs are those of the records.
                for i in cluster.running {
                    try await cluster.wait("names at \(cluster.members[i])") {
                        let list: Etcdserverpb_MemberListResponse = try await cluster.ask(
                            i, "Cluster/MemberList", Etcdserverpb_MemberListRequest())
                        let found = Dictionary(uniqueKeysWithValues: list.members.map { ($0.name, $0.peerUrls) })
                        let expected = cluster.members.enumerated().map { i, member in
                            (member.options.name, ["http://\(Self.host(i)):\(ports[i])"])
                        }
                        return found == Dictionary(uniqueKeysWithValues: expected)
                    }
                }
                try await cluster.expectEqualHashes()
            }
        }
    }

    /// Once there is data, DNS is not asked any more.
    @Test func restartDoesNotAsk() async throws {
        guard let martlet = Programs.martlet(for: "restart of a member found by SRV") else { return }
        let directory = try PackageFiles.temporaryDirectory("srv")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var options = ServerProcess.Options(
            dataDirectory: directory + "/data", arguments: ["--discovery-srv", Self.domain])
        options.discovers = true
        try await withNameServer(Self.records("etcd-server", ports: [options.peerPort]), for: "restart") { wrapper in
            var first = options
            first.wrapper = wrapper
            let server = try await ServerProcess.start(martlet, first)
            await server.stop()
            let again = try await ServerProcess.start(martlet, options)
            #expect(again.log.contains("discovery is ignored"))
            await again.stop()
        }
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var name: String
        var service: String
        var isOwnPort: Bool
        var text: String
        var testDescription: String { name }
    }

    static let refusals = [
        Refusal(
            name: "no records", service: "other-service", isOwnPort: true,
            text: "error querying DNS SRV records for _etcd-server lookup _etcd-server._tcp.martlet.test"),
        Refusal(
            name: "own address not among them", service: "etcd-server", isOwnPort: false,
            text: #"cannot find local etcd member \"m1\" in SRV records"#),
        Refusal(
            name: "the other scheme", service: "etcd-server-ssl", isOwnPort: true,
            text: "has scheme mismatch with expected peer http://127.0.0.1:"),
    ]

    @Test(arguments: refusals) func refusesAsEtcd(_ it: Refusal) async throws {
        guard let martlet = Programs.martlet(for: it.name), let etcd = Programs.etcd35(for: it.name) else { return }
        for program in [etcd, martlet] {
            let directory = try PackageFiles.temporaryDirectory("srv")
            defer { try? FileManager.default.removeItem(atPath: directory) }
            var options = ServerProcess.Options(
                dataDirectory: directory + "/data", arguments: ["--discovery-srv", Self.domain])
            options.discovers = true
            let port = it.isOwnPort ? options.peerPort : options.peerPort + 1
            try await withNameServer(Self.records(it.service, ports: [port]), for: it.name) { wrapper in
                options.wrapper = wrapper
                let server = try ServerProcess(program, options)
                let end = await server.waitForEnd(timeout: .seconds(30))
                #expect(end?.status == 1 && end?.signalled == false, "\(program): \(server.log.suffix(1000))")
                #expect(server.log.contains(it.text), "\(program): \(server.log.suffix(1000))")
                await server.crash()
            }
        }
    }
}
