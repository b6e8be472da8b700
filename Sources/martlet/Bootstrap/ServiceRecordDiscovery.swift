package import PlatformLinux

/// Finds the founding members by SRV records in DNS, as `--discovery-srv` asks: `_etcd-server-ssl._tcp.<domain>` names
/// members behind TLS, `_etcd-server._tcp.<domain>` the others. This member is the record whose address and port are
/// those of an advertised peer URL; the others get numbers for names, until they publish their own.
/// docs/decisions/138-names-found-in-dns.md
package struct ServiceRecordDiscovery: Sendable {
    package typealias Records = @Sendable (String) throws(NameServiceError) -> [ServiceRecord]
    package typealias Address = @Sendable (String) throws(NameServiceError) -> String

    /// What one of the two services brought.
    package struct Finding: Sendable, Equatable {
        package var service: String
        package var scheme: String
        package var pairs: [InitialCluster.Pair] = []
        /// Why there are none, or why some records were left out.
        package var problem: String?
    }

    package struct Outcome: Sendable, Equatable {
        package var findings: [Finding]
        package var pairs: [InitialCluster.Pair] { findings.flatMap(\.pairs) }
    }

    let domain: String
    let suffix: String
    let name: String
    let advertised: [ServerURL]
    let records: Records
    let address: Address

    /// - Parameters:
    ///   - name: this member's.
    ///   - records: looks up the SRV records of a name; blocks.
    ///   - address: looks up the numeric address of a host; blocks.
    package init(
        domain: String, suffix: String, name: String, advertised: [ServerURL], records: @escaping Records,
        address: @escaping Address
    ) {
        self.domain = domain
        self.suffix = suffix
        self.name = name
        self.advertised = advertised
        self.records = records
        self.address = address
    }

    /// Asks for both services; what one of them lacks is no failure while the other has members.
    package func find() -> Outcome {
        var own: [String: ServerURL] = [:]
        do throws(NameServiceError) {
            for url in advertised where !url.isUnixSocket { own["\(try address(url.host)) \(url.port)"] = url }
        } catch {
            let findings = services.map { Finding(service: $0.service, scheme: $0.scheme, problem: $0.say("\(error)")) }
            return Outcome(findings: findings)
        }
        var number = 0
        var findings: [Finding] = []
        for service in services { findings.append(find(service, own, &number)) }
        return Outcome(findings: findings)
    }

    /// The founding members of an outcome.
    /// - Throws: etcd's words when there are none, or this one is not among them.
    package func members(of outcome: Outcome) throws(ValueError) -> [InitialCluster.Pair] {
        let pairs = outcome.pairs
        guard !pairs.isEmpty else {
            throw ValueError(
                "error setting up initial cluster: " + outcome.findings.compactMap(\.problem).joined(separator: "; "))
        }
        guard pairs.contains(where: { $0.name == name }) else {
            let urls = pairs.map(\.url.description).joined(separator: ",")
            let own = advertised.map(\.description).joined(separator: ",")
            throw ValueError(
                "error setting up initial cluster: cannot find local etcd member \"\(name)\" in SRV records: none of "
                    + "\(urls) has the address of --initial-advertise-peer-urls=\(own)")
        }
        return pairs
    }

    private struct Service {
        var service: String
        var scheme: String

        func say(_ problem: String) -> String { "error querying DNS SRV records for _\(service) \(problem)" }
    }

    private var services: [Service] {
        let tail = suffix.isEmpty ? "" : "-\(suffix)"
        return [
            Service(service: "etcd-server-ssl\(tail)", scheme: "https"),
            Service(service: "etcd-server\(tail)", scheme: "http"),
        ]
    }

    private func find(_ service: Service, _ own: [String: ServerURL], _ number: inout Int) -> Finding {
        var finding = Finding(service: service.service, scheme: service.scheme)
        let found: [ServiceRecord]
        do throws(NameServiceError) {
            found = try records("_\(service.service)._tcp.\(domain)")
        } catch {
            finding.problem = service.say("\(error)")
            return finding
        }
        for record in found {
            do {
                let mine = own["\(try address(record.target)) \(record.port)"]
                let url = try ServerURL("\(service.scheme)://\(record.target):\(record.port)")
                if let mine, mine.scheme != service.scheme {
                    finding.problem = service.say(
                        "bootstrap at \(url) from DNS for \(service.service) has scheme mismatch with expected peer "
                            + mine.description)
                    continue
                }
                finding.pairs.append(InitialCluster.Pair(name: mine == nil ? nextName(&number) : name, url: url))
            } catch {
                finding.problem = service.say("\(error)")
            }
        }
        return finding
    }

    /// A number that no other member is called by: members of one name would be taken for one.
    private func nextName(_ number: inout Int) -> String {
        if String(number) == name { number += 1 }
        defer { number += 1 }
        return String(number)
    }
}
