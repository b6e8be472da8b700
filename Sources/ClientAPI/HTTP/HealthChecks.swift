internal import EtcdProto
internal import Member
internal import NIOCore

/// `/livez` and `/readyz`: named checks, each alone below the path, all together at the path itself.
enum HealthChecks {
    enum Check: String, Sendable {
        case serializableRead = "serializable_read"
        case linearizableRead = "linearizable_read"
        case dataCorruption = "data_corruption"
        case nonLearner = "non_learner"
    }

    /// By path.
    static let kinds: [(path: String, checks: [Check])] = [
        ("/livez", [.serializableRead]),
        ("/readyz", [.dataCorruption, .serializableRead, .linearizableRead, .nonLearner]),
    ]

    /// The checks that a path asks for; nil when it is none of ours.
    static func checks(of path: Substring) -> (kind: String, checks: [Check])? {
        for (root, checks) in kinds {
            let kind = String(root.dropFirst())
            if path == root { return (kind, checks) }
            guard path.hasPrefix(root + "/") else { continue }
            let name = path.dropFirst(root.count + 1)
            return checks.first { $0.rawValue == name }.map { (kind, [$0]) }
        }
        return nil
    }

    static func run(
        _ checks: [Check], kind: String, _ request: PlainRequest, _ probe: any MemberProbe, _ record: HealthRecord
    ) -> EventLoopFuture<PlainResponse> {
        let excluded = Set(request.values(of: "exclude"))
        let isVerbose = request.query.contains { $0.key == "verbose" }
        let wanted = checks.filter { checks.count == 1 || !excluded.contains($0.rawValue) }
        return EventLoopFuture.whenAllSucceed(wanted.map { run($0, probe) }, on: probe.eventLoop).map { failures in
            var lines = ""
            var passed = true
            for (check, failure) in zip(wanted, failures) {
                record.check(kind, check.rawValue, passed: failure == nil)
                if let failure {
                    passed = false
                    lines += "[-]\(check.rawValue) failed: \(failure)\n"
                } else {
                    lines += "[+]\(check.rawValue) ok\n"
                }
            }
            if !passed { return .text(503, lines) }
            return .text(200, isVerbose ? lines + "ok" : "ok")
        }
    }

    /// Why the check fails, or nil.
    private static func run(_ check: Check, _ probe: any MemberProbe) -> EventLoopFuture<String?> {
        switch check {
        case .serializableRead: probe.probe(linearizable: false).map { $0?.message }
        case .linearizableRead: probe.probe(linearizable: true).map { $0?.message }
        case .dataCorruption:
            probe.statistics().map { statistics in
                guard let statistics else { return EtcdError.timeout.message }
                if statistics.alarms.contains(where: { $0.kind == .corrupt }) { return "alarm activated: CORRUPT" }
                return statistics.quarantine == nil ? nil : EtcdError.quarantined.message
            }
        case .nonLearner:
            probe.statistics().map { statistics in
                guard let statistics else { return EtcdError.timeout.message }
                return statistics.isLearner ? "not supported for learner" : nil
            }
        }
    }
}
