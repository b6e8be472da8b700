internal import EtcdProto
package import Logging
internal import Member
package import NIOCore
package import Platform

/// The endpoints over plain HTTP: `/version`, `/health`, `/livez`, `/readyz`, `/metrics`.
package struct PlainEndpoints: Sendable {
    package enum Scope: Sendable {
        /// A client listener: everything, under access control.
        case client(AccessControl)
        /// A metrics listener: metrics and health alone, for everybody.
        case metrics
    }

    private static let metricsType = "text/plain; version=0.0.4; charset=utf-8"

    private let scope: Scope
    private let serverVersion: String
    private let record: HealthRecord
    private let processStatistics: @Sendable () -> ProcessStatistics
    private let logger: Logger

    package init(
        scope: Scope, serverVersion: String, record: HealthRecord,
        processStatistics: @escaping @Sendable () -> ProcessStatistics, logger: Logger
    ) {
        self.scope = scope
        self.serverVersion = serverVersion
        self.record = record
        self.processStatistics = processStatistics
        self.logger = logger
    }

    /// Call on the event loop of `probe`; the future never fails.
    package func answer(_ request: PlainRequest, _ probe: any MemberProbe) -> EventLoopFuture<PlainResponse> {
        switch scope {
        case .metrics:
            return route(request, probe)
        case .client(let access):
            if let response = access.intercept(request) { return probe.eventLoop.makeSucceededFuture(response) }
            return route(request, probe).map { access.mark($0, request) }
        }
    }

    private func route(_ request: PlainRequest, _ probe: any MemberProbe) -> EventLoopFuture<PlainResponse> {
        func immediately(_ response: PlainResponse) -> EventLoopFuture<PlainResponse> {
            probe.eventLoop.makeSucceededFuture(response)
        }
        let path = request.path
        // The page of metrics answers to any verb, as the original's does.
        if path == "/metrics" { return metrics(probe) }
        let isVersion: Bool
        switch scope {
        case .client: isVersion = path == "/version"
        case .metrics: isVersion = false
        }
        let checks = HealthChecks.checks(of: path)
        guard isVersion || path == "/health" || checks != nil else { return immediately(.notFound) }
        guard request.method == "GET" else { return immediately(.methodNotAllowed) }
        if isVersion { return version(probe) }
        if let checks { return HealthChecks.run(checks.checks, kind: checks.kind, request, probe, record) }
        return health(request, probe)
    }

    private func version(_ probe: any MemberProbe) -> EventLoopFuture<PlainResponse> {
        probe.statistics().map { statistics in
            let cluster = statistics?.clusterVersion ?? ""
            let body =
                #"{"etcdserver":"\#(serverVersion)","etcdcluster":"\#(cluster.isEmpty ? "not_decided" : cluster)","#
                + #""storage":"\#(statistics?.storageVersion ?? "")"}"#
            return PlainResponse(200, [("Content-Type", "application/json")], body)
        }
    }

    /// Alarms first, then the leader, then a read; the first that fails is the reason.
    private func health(_ request: PlainRequest, _ probe: any MemberProbe) -> EventLoopFuture<PlainResponse> {
        let excluded = Set(request.values(of: "exclude"))
        let isSerializable = request.values(of: "serializable").first == "true"
        func reason(_ text: String) -> EventLoopFuture<String> {
            probe.eventLoop.makeSucceededFuture(text)
        }
        return probe.statistics().assumeIsolated().flatMap { statistics -> EventLoopFuture<String> in
            guard let statistics else {
                return reason("RANGE ERROR:\(EtcdError.timeout.message)")
            }
            if let alarm = statistics.alarms.first(where: { !excluded.contains($0.kind.name) }) {
                let name = alarm.kind == .noSpace || alarm.kind == .corrupt ? alarm.kind.name : "UNKNOWN"
                return reason("ALARM \(name)")
            }
            if statistics.quarantine != nil { return reason("RANGE ERROR:\(EtcdError.quarantined.message)") }
            if !isSerializable && !statistics.hasLeader { return reason("RAFT NO LEADER") }
            return probe.probe(linearizable: !isSerializable).map { error in
                error.map { "RANGE ERROR:\($0.message)" } ?? ""
            }
        }.nonisolated().map { reason in
            record.health(passed: reason.isEmpty)
            if reason.isEmpty {
                return PlainResponse(
                    200, [("Content-Type", "text/plain; charset=utf-8")], #"{"health":"true","reason":""}"#)
            }
            logger.warning("/health error", metadata: ["reason": "\(reason)", "status-code": .stringConvertible(503)])
            // Error texts are ours and plain, so they need no escapes.
            return .text(503, #"{"health":"false","reason":"\#(reason)"}"#)
        }
    }

    private func metrics(_ probe: any MemberProbe) -> EventLoopFuture<PlainResponse> {
        probe.statistics().and(probe.callCounters()).map { statistics, calls in
            guard let statistics else {
                record.scrape(passed: false)
                return .text(503, EtcdError.timeout.message)
            }
            let health = record.counters
            record.scrape(passed: true)
            let page = MetricsPage(
                member: statistics, calls: calls, health: health, process: processStatistics(),
                serverVersion: serverVersion)
            return PlainResponse(200, [("Content-Type", Self.metricsType)], page.text)
        }
    }
}
