import Foundation

/// An authority with certificates that live as long as a test: made with `openssl` in a directory of the test's.
public struct TestAuthority: Sendable {
    /// PEM files of a certificate and its key.
    public struct KeyPair: Sendable {
        public var certificate: String
        public var key: String

        public init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    public struct Failed: Error, CustomStringConvertible {
        public var description: String
    }

    private let directory: String
    public let name: String
    /// Files of what goes behind each certificate that it issues: its own, unless everybody knows it, and so on.
    private var chain: [String] = []
    /// PEM file of the authority's own certificate.
    public var certificate: String { "\(directory)/\(name).pem" }

    private init(directory: String, name: String) {
        self.directory = directory
        self.name = name
    }

    /// - Returns: nil, with a line that says what is skipped, where there is no `openssl`.
    public static func make(
        in directory: String, name: String = "authority", for purpose: String
    ) async throws -> TestAuthority? {
        guard FileManager.default.isExecutableFile(atPath: program) else {
            print("skipped: \(purpose) (no openssl; get it with `apt-get install openssl`)")
            return nil
        }
        let authority = TestAuthority(directory: directory, name: name)
        try await authority.run([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            "/CN=\(name)", "-keyout", "\(directory)/\(name).key", "-out", authority.certificate,
        ])
        return authority
    }

    /// A certificate for servers and clients.
    /// - Parameters:
    ///   - file: the name of its files.
    ///   - names: as openssl writes them: `IP:127.0.0.1`, `DNS:localhost`; empty for none.
    ///   - days: from now; negative for one that has expired.
    public func issue(
        _ file: String, commonName: String, names: [String] = ["IP:127.0.0.1", "DNS:localhost"], days: Int = 1
    ) async throws -> KeyPair {
        let pair = KeyPair(certificate: "\(directory)/\(file).pem", key: "\(directory)/\(file).key")
        let (request, extensions) = ("\(directory)/\(file).csr", "\(directory)/\(file).ext")
        try await run([
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=\(commonName)",
            "-keyout", pair.key, "-out", request,
        ])
        var lines = "extendedKeyUsage=serverAuth,clientAuth\n"
        if !names.isEmpty { lines += "subjectAltName=\(names.joined(separator: ","))\n" }
        try Data(lines.utf8).write(to: URL(fileURLWithPath: extensions))
        try await sign(request, extensions, days: days, as: pair.certificate)
        let files = try ([pair.certificate] + chain).map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
        try Data(files.joined()).write(to: URL(fileURLWithPath: pair.certificate))
        return pair
    }

    /// An authority that this one vouches for, and whose certificates come with its own behind them.
    public func intermediate(_ name: String) async throws -> TestAuthority {
        var other = TestAuthority(directory: directory, name: name)
        let (request, extensions) = ("\(directory)/\(name).csr", "\(directory)/\(name).ext")
        try await run([
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=\(name)", "-keyout",
            "\(directory)/\(name).key", "-out", request,
        ])
        try Data("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n".utf8)
            .write(to: URL(fileURLWithPath: extensions))
        try await sign(request, extensions, days: 1, as: other.certificate)
        other.chain = [other.certificate] + chain
        return other
    }

    /// The serial number is chance.
    private func sign(_ request: String, _ extensions: String, days: Int, as path: String) async throws {
        try await run([
            "x509", "-req", "-in", request, "-CA", certificate, "-CAkey", "\(directory)/\(name).key", "-set_serial",
            String(UInt32.random(in: 1...UInt32.max)), "-days", String(days), "-extfile", extensions, "-out", path,
        ])
    }

    /// A revocation list.
    /// - Parameter isPEM: else DER.
    public func revoke(_ pairs: [KeyPair], file: String, isPEM: Bool = true) async throws -> String {
        var index = ""
        for pair in pairs {
            let text = try await run(["x509", "-in", pair.certificate, "-noout", "-serial"])
            let serial = text.split(separator: "=").last.map(String.init) ?? ""
            let number = serial.trimmingCharacters(in: .whitespacesAndNewlines)
            index += "R\t491231235959Z\t200101000000Z\t\(number)\tunknown\t/CN=revoked\n"
        }
        let (settings, database) = ("\(directory)/\(file).cnf", "\(directory)/\(file).index")
        let path = "\(directory)/\(file)"
        try Data(index.utf8).write(to: URL(fileURLWithPath: database))
        try Data("[ca]\ndefault_ca=d\n[d]\ndatabase=\(database)\ndefault_md=sha256\ndefault_crl_days=1\n".utf8)
            .write(to: URL(fileURLWithPath: settings))
        try await run([
            "ca", "-gencrl", "-config", settings, "-keyfile", "\(directory)/\(name).key", "-cert", certificate, "-out",
            path,
        ])
        if !isPEM { try await run(["crl", "-in", path, "-outform", "DER", "-out", path]) }
        return path
    }

    private static let program = "/usr/bin/openssl"

    @discardableResult private func run(_ arguments: [String]) async throws -> String {
        let result = try await Subprocess.run(Self.program, arguments, timeout: .seconds(30))
        guard result.status == 0 else {
            throw Failed(description: "openssl \(arguments.joined(separator: " ")): \(result.errorText)")
        }
        return result.text
    }
}

/// The files with which a server under test speaks TLS on both its ports, and those who call it.
public struct TestSecurity: Sendable {
    public var authority: String
    /// What the server shows.
    public var server: TestAuthority.KeyPair
    /// What its clients show.
    public var client: TestAuthority.KeyPair

    public init(authority: String, server: TestAuthority.KeyPair, client: TestAuthority.KeyPair) {
        self.authority = authority
        self.server = server
        self.client = client
    }

    /// Both sides show certificates to each other.
    var serverArguments: [String] {
        [
            "--cert-file", server.certificate, "--key-file", server.key, "--trusted-ca-file", authority,
            "--client-cert-auth", "--peer-cert-file", server.certificate, "--peer-key-file", server.key,
            "--peer-trusted-ca-file", authority, "--peer-client-cert-auth",
        ]
    }

    /// For etcdctl and curl's likes.
    public var clientArguments: [String] {
        ["--cacert", authority, "--cert", client.certificate, "--key", client.key]
    }
}
