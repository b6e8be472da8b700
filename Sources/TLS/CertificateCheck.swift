internal import NIOCore
internal import NIOPosix
internal import NIOSSL
package import Platform

/// What is demanded of the other side's certificate once it has been verified. The rules are etcd's.
struct CertificateCheck: Sendable {
    private let commonNames: [String]
    private let hostNames: [String]
    private let revoked: Reloading<RevocationList>?
    /// Taken for good whatever a list says: serial numbers are only compared within what they vouch for.
    private let authorities: [NIOSSLCertificate]
    /// nil when certificates need not fit the address that they come from.
    private let names: (any HostNames)?
    /// Name or address for which the certificate must be valid; nil for any. NIOSSL's own comparison is laxer than
    /// Go's: a certificate for the address that was connected to passes for every name.
    var host: String?

    init(
        _ settings: TLSSettings, revoked: Reloading<RevocationList>?, authorities: [NIOSSLCertificate],
        names: (any HostNames)?
    ) {
        commonNames = settings.allowedCommonNames
        hostNames = settings.allowedHostNames
        self.revoked = revoked
        self.authorities = authorities
        self.names = names
    }

    /// - Parameter chain: what it has been verified by.
    /// - Returns: fails with the reason when the certificate is refused.
    func run(
        _ certificate: NIOSSLCertificate, _ chain: [NIOSSLCertificate], from address: SocketAddress?,
        on eventLoop: any EventLoop
    ) -> EventLoopFuture<Void> {
        do {
            let found = try CertificateNames(certificate)
            if let host, !found.match(host) {
                throw TLSHandshakeError(
                    "x509: certificate is valid for \(found.hosts.joined(separator: ", ")), not \(host)")
            }
            guard allows(found) else { throw TLSHandshakeError("client certificate authentication failed") }
            if let serial = revokedSerial([certificate] + chain.filter { !authorities.contains($0) }) {
                throw TLSHandshakeError("transport: certificate serial \(serial) revoked")
            }
            guard let names, let host = address?.ipAddress, !found.isValidEverywhere else {
                return eventLoop.makeSucceededVoidFuture()
            }
            if found.match(host) { return eventLoop.makeSucceededVoidFuture() }
            guard !found.dnsNames.isEmpty else {
                throw TLSHandshakeError(
                    "x509: certificate is valid for \(found.hosts.joined(separator: ", ")), not \(host)")
            }
            // The name service may take its time.
            return NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) {
                guard found.belongs(to: host, by: names) else {
                    throw TLSHandshakeError("tls: \"\(host)\" does not match any of DNSNames \(found.dnsNames)")
                }
            }
        } catch {
            return eventLoop.makeFailedFuture(error)
        }
    }

    /// The serial number, in hexadecimal, of the first of the certificates that the list names.
    private func revokedSerial(_ certificates: [NIOSSLCertificate]) -> String? {
        guard let list = revoked?.current(),
            let found = certificates.first(where: { list.contains(serial: $0.serialNumber) })
        else { return nil }
        return found.serialNumber.map { String(0x100 | Int($0), radix: 16).dropFirst() }.joined()
    }

    private func allows(_ found: CertificateNames) -> Bool {
        if !commonNames.isEmpty { return commonNames.contains(found.commonName) }
        return hostNames.isEmpty || hostNames.contains { found.match($0) }
    }
}

extension CertificateNames {
    var hosts: [String] { dnsNames + addresses }

    /// It names neither hosts nor addresses.
    var isValidEverywhere: Bool { dnsNames.isEmpty && addresses.isEmpty }

    /// Whether one of the names is the host's, by its own name or by the addresses of the name. Names with `*` are
    /// compared with the host's own alone. Blocks on the name service.
    package func belongs(to host: String, by service: some HostNames) -> Bool {
        if var own = service.name(of: host) {
            if own.hasSuffix(".") { own.removeLast() }
            for name in dnsNames {
                if name == own || (name.hasPrefix("*.") && own.hasSuffix(name.dropFirst())) { return true }
            }
        }
        return dnsNames.contains { name in
            !name.hasPrefix("*.") && service.addresses(of: name).contains { Self.address($0) == Self.address(host) }
        }
    }
}
