import PlatformLinux
import Testing
import martlet

/// What follows from what DNS says, by tables: no name is looked up here.
@Suite struct ServiceRecordDiscoveryTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var suffix = ""
        var member = "m1"
        var advertised = ["http://10.0.0.1:2380"]
        /// By service: `target:port` each.
        var records: [String: [String]]
        /// The members in order, or the words of the refusal.
        var result: String
        var testDescription: String { name }
    }

    private static let addresses = [
        "a.test": "10.0.0.1", "b.test": "10.0.0.2", "c.test": "10.0.0.3", "10.0.0.1": "10.0.0.1", "six.test": "fd00::1",
        "fd00::1": "fd00::1",
    ]

    static let cases: [Case] = [
        Case(
            name: "the own record by its address, the others numbered",
            records: ["_etcd-server._tcp.d": ["b.test:2380", "a.test:2380", "c.test:2380"]],
            result: "0=http://b.test:2380,m1=http://a.test:2380,1=http://c.test:2380"),
        Case(
            name: "the port tells members on one host apart", advertised: ["http://a.test:2381"],
            records: ["_etcd-server._tcp.d": ["a.test:2380", "a.test:2381"]],
            result: "0=http://a.test:2380,m1=http://a.test:2381"),
        Case(
            name: "behind TLS", advertised: ["https://a.test:2380"],
            records: ["_etcd-server-ssl._tcp.d": ["a.test:2380", "b.test:2380"]],
            result: "m1=https://a.test:2380,0=https://b.test:2380"),
        Case(
            name: "both services, and no two members of one name",
            records: [
                "_etcd-server-ssl._tcp.d": ["b.test:2380"], "_etcd-server._tcp.d": ["a.test:2380", "c.test:2380"],
            ], result: "0=https://b.test:2380,m1=http://a.test:2380,1=http://c.test:2380"),
        Case(
            name: "a suffix", suffix: "blue",
            records: ["_etcd-server-blue._tcp.d": ["a.test:2380"], "_etcd-server._tcp.d": ["b.test:2380"]],
            result: "m1=http://a.test:2380"),
        Case(
            name: "a member whose name is a number", member: "0",
            records: ["_etcd-server._tcp.d": ["b.test:2380", "a.test:2380", "c.test:2380"]],
            result: "1=http://b.test:2380,0=http://a.test:2380,2=http://c.test:2380"),
        Case(
            name: "IPv6", advertised: ["http://[fd00::1]:2380"],
            records: ["_etcd-server._tcp.d": ["six.test:2380", "b.test:2380"]],
            result: "m1=http://six.test:2380,0=http://b.test:2380"),
        Case(
            name: "a target without an address is left out",
            records: ["_etcd-server._tcp.d": ["gone.test:2380", "a.test:2380"]], result: "m1=http://a.test:2380"),
        Case(
            name: "no records", records: [:],
            result: "error setting up initial cluster: error querying DNS SRV records for _etcd-server-ssl lookup "
                + "_etcd-server-ssl._tcp.d: no such host; error querying DNS SRV records for _etcd-server lookup "
                + "_etcd-server._tcp.d: no such host"),
        Case(
            name: "the other scheme", records: ["_etcd-server-ssl._tcp.d": ["a.test:2380"]],
            result:
                "error setting up initial cluster: error querying DNS SRV records for _etcd-server-ssl bootstrap at "
                + "https://a.test:2380 from DNS for etcd-server-ssl has scheme mismatch with expected peer "
                + "http://10.0.0.1:2380; error querying DNS SRV records for _etcd-server lookup _etcd-server._tcp.d: "
                + "no such host"),
        Case(
            name: "not among them", records: ["_etcd-server._tcp.d": ["b.test:2380"]],
            result: "error setting up initial cluster: cannot find local etcd member \"m1\" in SRV records: none of "
                + "http://b.test:2380 has the address of --initial-advertise-peer-urls=http://10.0.0.1:2380"),
        Case(
            name: "an advertised host without an address", advertised: ["http://gone.test:2380"],
            records: ["_etcd-server._tcp.d": ["a.test:2380"]],
            result: "error setting up initial cluster: error querying DNS SRV records for _etcd-server-ssl lookup "
                + "gone.test: no such host; error querying DNS SRV records for _etcd-server lookup gone.test: no such "
                + "host"),
    ]

    @Test(arguments: cases) func decides(_ it: Case) throws {
        let discovery = ServiceRecordDiscovery(
            domain: "d", suffix: it.suffix, name: it.member, advertised: try it.advertised.map { try ServerURL($0) },
            records: { (name) throws(NameServiceError) in
                guard let texts = it.records[name] else { throw NameServiceError(name: name, reason: "no such host") }
                return texts.map { text in
                    let parts = text.split(separator: ":")
                    return ServiceRecord(
                        priority: 0, weight: 0, port: UInt16(parts[1]) ?? 0, target: String(parts[0]))
                }
            },
            address: { (host) throws(NameServiceError) in
                guard let address = Self.addresses[host] else {
                    throw NameServiceError(name: host, reason: "no such host")
                }
                return address
            })
        let outcome = discovery.find()
        #expect(outcome.findings.map(\.scheme) == ["https", "http"])
        do throws(ValueError) {
            #expect(try discovery.members(of: outcome).map(\.description).joined(separator: ",") == it.result)
        } catch {
            #expect(error.description == it.result)
        }
    }
}
