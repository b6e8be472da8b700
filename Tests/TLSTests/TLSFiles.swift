import Foundation
import Logging
import PlatformLinux
import Synchronization
import TLS
import TestSupport

/// An authority and the certificates of a test, in a directory that goes with it.
struct TLSFiles {
    let directory: String
    let authority: TestAuthority
    let server: TestAuthority.KeyPair

    /// Runs `body` with them, or says that it is skipped.
    static func with(_ purpose: String, _ body: (TLSFiles) async throws -> Void) async throws {
        let directory = try PackageFiles.temporaryDirectory("tls")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        guard let authority = try await TestAuthority.make(in: directory, for: purpose) else { return }
        let server = try await authority.issue("server", commonName: "server")
        try await body(TLSFiles(directory: directory, authority: authority, server: server))
    }

    func settings(
        _ pair: TestAuthority.KeyPair? = nil, authority: String? = nil, _ change: (inout TLSSettings) -> Void = { _ in }
    ) -> TLSSettings {
        var settings = TLSSettings()
        settings.certificateFile = (pair ?? server).certificate
        settings.keyFile = (pair ?? server).key
        settings.trustedCAFile = authority ?? self.authority.certificate
        change(&settings)
        return settings
    }
}

extension Logger {
    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}
