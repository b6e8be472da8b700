internal import NIOSSL
public import Platform
internal import Synchronization

/// The authorities that the machine trusts, where Go's programs look for them: in the first of some files that can be
/// read, and in all files of some directories. Read from disk once, when they are first asked for, and kept.
///
/// Usable from any thread.
public final class SystemAuthorities: Sendable {
    private static let usualFiles = [
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
        "/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
    ]
    private static let usualDirectories = ["/etc/ssl/certs", "/etc/pki/tls/certs"]

    private let files: [String]
    private let directories: [String]
    private let disk: any StampingDisk
    private let kept = Mutex<[NIOSSLCertificate]?>(nil)

    /// - Parameter environment: `SSL_CERT_FILE` takes the place of the usual files, `SSL_CERT_DIR`, several with `:`
    ///   between them, that of the usual directories.
    public init(disk: any StampingDisk, environment: [String: String] = [:]) {
        func places(_ variable: String, _ usual: [String], _ separate: (String) -> [String]) -> [String] {
            guard let text = environment[variable], !text.isEmpty else { return usual }
            return separate(text)
        }
        self.disk = disk
        files = places("SSL_CERT_FILE", Self.usualFiles) { [$0] }
        directories = places("SSL_CERT_DIR", Self.usualDirectories) { $0.split(separator: ":").map(String.init) }
    }

    /// Each one once. Empty on a machine that has none: nobody is trusted there. Blocks on the disk, the first time.
    /// - Throws: when something is there and none of it can be used.
    func certificates() throws(TLSSetupError) -> [NIOSSLCertificate] {
        try kept.withLock { kept throws(TLSSetupError) in
            if let kept { return kept }
            let found = try read()
            kept = found
            return found
        }
    }

    private func read() throws(TLSSetupError) -> [NIOSSLCertificate] {
        var found = Found()
        for file in files where read(file, into: &found) { break }
        for directory in directories {
            do throws(DiskError) {
                // Hashes of names lead to files beside them; what is no certificate is nothing to speak of.
                for name in try disk.list(directory) { read("\(directory)/\(name)", into: &found) }
            } catch {
                if error.reason != .notFound { found.note("open \(directory): \(error.reason.text)") }
            }
        }
        if found.certificates.isEmpty, let failure = found.failure {
            throw TLSSetupError("the system's authorities cannot be read: \(failure)")
        }
        return found.certificates
    }

    private struct Found {
        var certificates: [NIOSSLCertificate] = []
        var known: Set<NIOSSLCertificate> = []
        var stamps: Set<FileStamp> = []
        /// The first one.
        var failure: String?

        mutating func note(_ failure: String) { self.failure = self.failure ?? failure }
    }

    /// - Returns: whether the file is there and can be read.
    @discardableResult
    private func read(_ path: String, into found: inout Found) -> Bool {
        let bytes: [UInt8]
        do throws(DiskError) {
            let stamp = try disk.stamp(path)
            guard found.stamps.insert(stamp).inserted else { return true }
            guard stamp.size <= TLSLimits.fileBytes else {
                found.note("\(path): more than \(TLSLimits.fileBytes) bytes")
                return false
            }
            let file = try disk.open(path, .read)
            bytes = try file.read(at: 0, count: Int(stamp.size))
            try file.close()
        } catch {
            if error.reason != .notFound && error.reason != .isADirectory {
                found.note("open \(path): \(error.reason.text)")
            }
            return false
        }
        for certificate in (try? NIOSSLCertificate.fromPEMBytes(bytes)) ?? []
        where found.known.insert(certificate).inserted {
            found.certificates.append(certificate)
        }
        return true
    }
}
