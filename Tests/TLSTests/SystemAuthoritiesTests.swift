import Foundation
import NIOCore
import NIOPosix
import PlatformLinux
import TLS
import TestSupport
import Testing

/// Where no file names authorities: those of the machine, which are read once.
@Suite(.serialized) struct SystemAuthoritiesTests {
    private func authorities(_ files: String..., directories: String...) -> SystemAuthorities {
        let environment = [
            "SSL_CERT_FILE": files.first ?? "/nowhere",
            "SSL_CERT_DIR": (directories + ["/nowhere"]).joined(separator: ":"),
        ]
        return SystemAuthorities(disk: LinuxDisk(), environment: environment)
    }

    private func remove(_ path: String) throws { try FileManager.default.removeItem(atPath: path) }

    @Test(arguments: [true, false]) func connectionsDoNotReadThemAgain(isFile: Bool) async throws {
        try await TLSFiles.with("authorities of the system") { files in
            let store = files.directory + "/store"
            try FileManager.default.createDirectory(atPath: store, withIntermediateDirectories: false)
            try Data("no certificate".utf8).write(to: URL(fileURLWithPath: store + "/README"))
            let other = try #require(try await TestAuthority.make(in: files.directory, name: "other", for: ""))
            let kept = store + "/authority.pem"
            try FileManager.default.copyItem(atPath: other.certificate, toPath: store + "/0-other.pem")
            try FileManager.default.copyItem(atPath: files.authority.certificate, toPath: kept)
            let system = isFile ? authorities(kept) : authorities(directories: "/nowhere", store)
            var settings = files.settings(authority: "")
            settings.demandsClientCertificates = true
            let server = try await echoServer(settings, system: system)
            let client = try client(files.settings(authority: ""), system: system)
            #expect(try await talk(to: server.port, client) == "hello")

            try remove(store)
            #expect(try await talk(to: server.port, client) == "hello")
            // A renewed certificate makes a new context, which takes what has been read.
            let next = try await files.authority.issue("next", commonName: "next")
            for (from, to) in [(next.certificate, files.server.certificate), (next.key, files.server.key)] {
                try Data(contentsOf: URL(fileURLWithPath: from)).write(to: URL(fileURLWithPath: to), options: .atomic)
            }
            #expect(try await talk(to: server.port, client) == "hello")
            #expect(server.commonNames == ["server", "server", "next"])
            await server.close()

            // The control: who reads now finds nothing, and trusts nobody.
            let late = isFile ? authorities(kept) : authorities(directories: "/nowhere", store)
            let strict = try await echoServer(settings, system: late)
            await #expect(throws: (any Error).self) { try await talk(to: strict.port, client) }
            #expect(strict.commonNames.isEmpty)
            await strict.close()
            let lax = try await echoServer(files.settings(authority: ""))
            let stranger = try TLSTests.client(files.settings(authority: ""), system: late)
            await #expect(throws: (any Error).self) { try await talk(to: lax.port, stranger) }
            await lax.close()
        }
    }

    /// A client whose settings name no file may never connect: it reads at its first connection, which can be prepared.
    @Test(arguments: [true, false]) func plainClientsReadLate(isPrepared: Bool) async throws {
        try await TLSFiles.with("authorities of the system, late") { files in
            let server = try await echoServer(files.settings(authority: ""))
            let store = files.directory + "/store.pem"
            let client = try client(TLSSettings(), system: authorities(store))
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            try Data(count: TLSLimits.fileBytes + 1).write(to: URL(fileURLWithPath: store))
            await #expect(throws: TLSSetupError.self) { try await client.ready(on: loop).get() }
            await #expect(throws: NIOConnectionError.self) { try await talk(to: server.port, client) }
            try remove(store)
            try FileManager.default.copyItem(atPath: files.authority.certificate, toPath: store)
            if isPrepared {
                try await client.ready(on: loop).get()
                try remove(store)
            }
            #expect(try await talk(to: server.port, client) == "hello")
            if !isPrepared { try remove(store) }
            #expect(try await talk(to: server.port, client) == "hello")
            await server.close()
        }
    }

    /// What is there and cannot be used is told at the start, unless others are found.
    @Test func unusableOnesAreNamed() async throws {
        try await TLSFiles.with("authorities of the system that cannot be read") { files in
            let large = files.directory + "/large.pem"
            try Data(count: TLSLimits.fileBytes + 1).write(to: URL(fileURLWithPath: large))
            var settings = files.settings(authority: "")
            settings.demandsClientCertificates = true
            do {
                _ = try await echoServer(settings, system: authorities(large))
                Issue.record("accepted")
            } catch {
                #expect("\(error)".contains("the system's authorities cannot be read: \(large): more than"))
            }
            let store = files.directory + "/store"
            try FileManager.default.createDirectory(atPath: store, withIntermediateDirectories: false)
            try FileManager.default.copyItem(atPath: files.authority.certificate, toPath: store + "/a.pem")
            let server = try await echoServer(settings, system: authorities(large, directories: store))
            #expect(try await talk(to: server.port, client(files.settings())) == "hello")
            await server.close()
        }
    }
}
