internal import ArgumentParser
internal import HTTP2
internal import Logging
internal import PlatformLinux
internal import TLS

/// Where the load goes, and its shape.
struct LoadOptions: ParsableArguments {
    @Option(help: "Address of the server's client port.")
    var endpoint = "127.0.0.1:2379"

    @Option(help: "How many requests to send.")
    var count = 100_000

    @Option(help: "How many connections to open.")
    var connections = 10

    @Option(help: "How many requests are on their way on each connection.")
    var streams = 10

    @Option(help: "Bytes in a key; keys are numbers in decimal, filled with zeros.")
    var keySize = 16

    @Option(help: "Bytes in a value.")
    var valueSize = 256

    @Option(help: "PEM file of the authorities that servers' certificates are of; with it, TLS is spoken.")
    var cacert = ""

    @Option(help: "PEM file of a client certificate.")
    var cert = ""

    @Option(help: "PEM file of its key.")
    var key = ""

    /// How connections are opened.
    func client() throws -> ClientConfiguration {
        var configuration = ClientConfiguration()
        guard !cacert.isEmpty else { return configuration }
        var settings = TLSSettings()
        settings.trustedCAFile = cacert
        settings.certificateFile = cert
        settings.keyFile = key
        let tls = try ClientTLS(
            settings, offering: ["h2"], disk: LinuxDisk(), logger: Logger(label: "martlet-bench"))
        let host = host
        configuration.secure = { try tls.install(on: $0, host: host) }
        return configuration
    }

    var host: String { String(endpoint.prefix(upTo: endpoint.lastIndex(of: ":") ?? endpoint.endIndex)) }

    var port: Int? { endpoint.split(separator: ":").last.flatMap { Int($0) } }

    func validate() throws {
        guard let port, (1...65535).contains(port), !host.isEmpty else {
            throw ValidationError("--endpoint must be host:port, got \(endpoint)")
        }
        guard cert.isEmpty == key.isEmpty, cert.isEmpty || !cacert.isEmpty else {
            throw ValidationError("--cert and --key go together, and with --cacert")
        }
        guard count > 0, connections > 0, streams > 0 else {
            throw ValidationError("--count, --connections and --streams must be positive")
        }
        guard keySize >= String(count - 1).utf8.count, valueSize >= 0 else {
            throw ValidationError("--key-size \(keySize) is too small for \(count) keys")
        }
    }
}
