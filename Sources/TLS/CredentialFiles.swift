internal import NIOSSL
internal import Platform

/// Reads what the settings name, with errors that say which file of which flag cannot be used, and why.
struct CredentialFiles: Sendable {
    let settings: TLSSettings
    let disk: any StampingDisk

    private var flags: TLSFlags { settings.flags }

    /// A certificate with its intermediates, and its key.
    struct KeyPair: Sendable {
        var chain: [NIOSSLCertificate]
        var key: NIOSSLPrivateKey
    }

    /// What the member shows as a server.
    func serverKeyPair() throws(TLSSetupError) -> KeyPair {
        try keyPair(settings.certificateFile, settings.keyFile, flags: (flags.certificate, flags.key))
    }

    /// What the member shows as a client: the same as where it is the server, unless it has files for that.
    func clientKeyPair() throws(TLSSetupError) -> KeyPair {
        if settings.clientCertificateFile.isEmpty { return try serverKeyPair() }
        return try keyPair(
            settings.clientCertificateFile, settings.clientKeyFile,
            flags: (flags.clientCertificate, flags.clientKey))
    }

    /// Where that is read from; empty for nothing.
    var clientPaths: (certificate: String, key: String) {
        settings.clientCertificateFile.isEmpty
            ? (settings.certificateFile, settings.keyFile)
            : (settings.clientCertificateFile, settings.clientKeyFile)
    }

    /// Those of the file that is named, or else the system's.
    func authorities(or system: SystemAuthorities?) throws(TLSSetupError) -> [NIOSSLCertificate] {
        if settings.trustedCAFile.isEmpty { return try (system ?? SystemAuthorities(disk: disk)).certificates() }
        return try certificates(settings.trustedCAFile, flag: flags.authorities)
    }

    func revocationList() throws(TLSSetupError) -> RevocationList {
        let path = settings.revocationListFile
        let bytes = try read(path, flag: flags.revocationList, limit: TLSLimits.revocationListBytes)
        do {
            return try RevocationList(bytes)
        } catch {
            throw unusable(path, flags.revocationList, "no certificate revocation list in DER or PEM: \(error)")
        }
    }

    private func keyPair(
        _ certificate: String, _ key: String, flags: (certificate: String, key: String)
    ) throws(TLSSetupError) -> KeyPair {
        let chain = try certificates(certificate, flag: flags.certificate)
        let bytes = try read(key, flag: flags.key, limit: TLSLimits.fileBytes)
        let loaded: NIOSSLPrivateKey
        do {
            loaded = try NIOSSLPrivateKey(bytes: bytes, format: .pem)
        } catch {
            throw unusable(key, flags.key, "no private key in PEM, or one with a passphrase")
        }
        let pair = KeyPair(chain: chain, key: loaded)
        do {
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: [], privateKey: .privateKey(loaded))
            configuration.certificateChain = chain.map { .certificate($0) }
            _ = try NIOSSLContext(configuration: configuration)
        } catch {
            throw TLSSetupError(
                "tls: private key does not match public key: \(key) (--\(flags.key)) is not the key of the first "
                    + "certificate in \(certificate) (--\(flags.certificate))")
        }
        return pair
    }

    private func certificates(_ path: String, flag: String) throws(TLSSetupError) -> [NIOSSLCertificate] {
        let bytes = try read(path, flag: flag, limit: TLSLimits.fileBytes)
        do {
            let all = try NIOSSLCertificate.fromPEMBytes(bytes)
            if !all.isEmpty { return all }
        } catch {
            // The library's error says no more than that.
        }
        throw unusable(path, flag, "tls: failed to find any PEM data in certificate input")
    }

    private func read(_ path: String, flag: String, limit: Int) throws(TLSSetupError) -> [UInt8] {
        do throws(DiskError) {
            let file = try disk.open(path, .read)
            let bytes = try file.read(at: 0, count: limit + 1)
            try file.close()
            if bytes.count <= limit { return bytes }
        } catch {
            throw TLSSetupError("open \(path): \(error.reason.text) (--\(flag))")
        }
        throw unusable(path, flag, "more than \(limit) bytes")
    }

    private func unusable(_ path: String, _ flag: String, _ reason: String) -> TLSSetupError {
        TLSSetupError("\(path) (--\(flag)): \(reason)")
    }
}
