internal import EtcdProto
internal import Foundation
internal import HTTP2
internal import Logging
internal import NIOCore
internal import PlatformLinux
internal import SwiftProtobuf
internal import TLS

/// A discovery service that is an etcd, or a Martlet, behind one or several endpoints. The first one that answers is
/// used; each call makes a connection of its own, as there are few.
struct EtcdDiscoveryService: DiscoveryService {
    /// grpc-go does not ping more often, whatever it is told, and servers send away who does.
    private static let shortestPingInterval = Duration.seconds(10)

    private let configuration: DiscoveryConfiguration
    private let endpoints: [DiscoveryEndpoint]
    /// nil where no endpoint needs it.
    private let tls: ClientTLS?
    private let eventLoop: any EventLoop

    /// - Throws: `ValueError`, or `TLSSetupError` for a file that cannot be used.
    init(_ configuration: DiscoveryConfiguration, eventLoop: any EventLoop, logger: Logger) throws {
        self.configuration = configuration
        self.eventLoop = eventLoop
        endpoints = try configuration.endpoints.map { try DiscoveryEndpoint($0) }
        let isSecure = endpoints.contains { $0.isSecure(configuration) }
        let system = SystemAuthorities(disk: LinuxDisk(), environment: ProcessInfo.processInfo.environment)
        tls =
            isSecure
            ? try ClientTLS(configuration.tls, offering: ["h2"], disk: LinuxDisk(), system: system, logger: logger)
            : nil
    }

    func rows(_ key: String, isPrefix: Bool) async throws(DiscoveryFailure) -> [DiscoveryRegistry.Row] {
        let request = Etcdserverpb_RangeRequest.with {
            $0.key = Data(key.utf8)
            // The keys that begin with this one end before the one with its last byte raised; none here ends in 0xFF.
            if isPrefix, let last = key.utf8.last { $0.rangeEnd = Data(key.utf8.dropLast() + [last + 1]) }
        }
        let response: Etcdserverpb_RangeResponse = try await call("KV/Range", request)
        return response.kvs.map {
            DiscoveryRegistry.Row(
                key: String(decoding: $0.key, as: UTF8.self), value: String(decoding: $0.value, as: UTF8.self),
                createRevision: $0.createRevision)
        }
    }

    func put(_ key: String, _ value: String) async throws(DiscoveryFailure) {
        let request = Etcdserverpb_PutRequest.with {
            $0.key = Data(key.utf8)
            $0.value = Data(value.utf8)
        }
        let _: Etcdserverpb_PutResponse = try await call("KV/Put", request)
    }

    /// Asks the endpoints, one after the other, until one answers.
    private func call<Response: Message>(
        _ method: String, _ request: some Message
    ) async throws(DiscoveryFailure) -> Response {
        var reasons: [String] = []
        for endpoint in endpoints {
            do {
                return try await call(method, request, at: endpoint)
            } catch let status as GRPCStatus {
                let reason = "\(endpoint): \(status.message)"
                guard Self.passes(status) else { throw .refused(reason) }
                reasons.append(reason)
            } catch {
                reasons.append("\(endpoint): \(error)")
            }
        }
        throw .unavailable(reasons.joined(separator: "; "))
    }

    /// What may be gone at the next attempt: not what is wrong with the request or the rights of its user.
    private static func passes(_ status: GRPCStatus) -> Bool {
        let permissionDenied: UInt8 = 7
        return ![GRPCStatus.invalidArgument, permissionDenied, GRPCStatus.unimplemented].contains(status.code)
    }

    private func call<Response: Message>(
        _ method: String, _ request: some Message, at endpoint: DiscoveryEndpoint
    ) async throws -> Response {
        let connection = try await connect(to: endpoint)
        let result: Result<Response, any Error>
        do {
            let token = try await token(connection)
            result = .success(
                try await call(method, request, connection, metadata: token.map { [("token", $0)] } ?? []))
        } catch {
            result = .failure(error)
        }
        try? await connection.close().get()
        return try result.get()
    }

    private func call<Response: Message>(
        _ method: String, _ request: some Message, _ connection: GRPCClientConnection,
        metadata: [(name: String, value: String)] = []
    ) async throws -> Response {
        let bytes: [UInt8] = try request.serializedBytes()
        let answer = try await connection.call(
            path: "/etcdserverpb.\(method)", message: bytes, metadata: metadata,
            deadline: .now() + TimeAmount(configuration.requestTimeout)
        ).get()
        return try Response(serializedBytes: answer)
    }

    /// A token for the user; nil when none is named, or the service knows no users.
    private func token(_ connection: GRPCClientConnection) async throws -> String? {
        guard let (user, password) = configuration.credentials else { return nil }
        let request = Etcdserverpb_AuthenticateRequest.with {
            $0.name = user
            $0.password = password
        }
        do {
            let response: Etcdserverpb_AuthenticateResponse = try await call("Auth/Authenticate", request, connection)
            return response.token
        } catch let status as GRPCStatus where status.message.contains("authentication is not enabled") {
            return nil
        }
    }

    private func connect(to endpoint: DiscoveryEndpoint) async throws -> GRPCClientConnection {
        var client = ClientConfiguration()
        client.connectTimeout = TimeAmount(configuration.dialTimeout)
        client.keepaliveInterval = TimeAmount(max(configuration.keepaliveTime, Self.shortestPingInterval))
        client.keepaliveTimeout = TimeAmount(configuration.keepaliveTimeout)
        if let tls, endpoint.isSecure(configuration) {
            try await tls.ready(on: eventLoop).get()
            client.secure = { try tls.install(on: $0, host: endpoint.serverName) }
        }
        let connecting =
            switch endpoint.place {
            case .tcp(let host, let port):
                GRPCClientConnection.connect(host: host, port: port, group: eventLoop, configuration: client)
            case .unix(let path): GRPCClientConnection.connect(unixPath: path, group: eventLoop, configuration: client)
            }
        return try await connecting.get()
    }
}

/// Where a discovery service listens: `host:port`, `http://host:port`, `https://host:port`, `unix://path` or
/// `unixs://path`.
package struct DiscoveryEndpoint: Sendable, Equatable, CustomStringConvertible {
    package enum Place: Sendable, Equatable {
        case tcp(host: String, port: Int)
        case unix(path: String)
    }

    /// What an endpoint says about TLS.
    package enum Security: Sendable, Equatable {
        case required
        case none
        /// As the flags want it.
        case open
    }

    package var place: Place
    package var security: Security
    package var description: String

    package init(_ text: String) throws(ValueError) {
        description = text
        let hasScheme = text.contains("://")
        let url = try ServerURL(hasScheme ? text : "http://\(text)")
        security = url.isSecure ? .required : hasScheme && !url.isUnixSocket ? .none : .open
        place = url.isUnixSocket ? .unix(path: url.host) : .tcp(host: url.host, port: url.port)
    }

    package func isSecure(_ configuration: DiscoveryConfiguration) -> Bool {
        security == .required || (security == .open && configuration.prefersTLS)
    }

    /// What the server's certificate must be valid for: the host; of a socket, the name of its file up to a colon.
    package var serverName: String {
        switch place {
        case .tcp(let host, _): host
        case .unix(let path): String((path.split(separator: "/").last ?? "").prefix { $0 != ":" })
        }
    }
}
