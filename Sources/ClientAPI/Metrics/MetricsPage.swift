internal import Base
internal import EtcdProto
package import Member
package import Platform

/// `/metrics`: the names, types, labels and buckets of etcd's, for all that has a counterpart here.
package struct MetricsPage: Sendable {
    package var member: MemberStatistics
    package var calls: CallCounters
    package var health: HealthCounters
    package var process: ProcessStatistics
    /// The version of etcd's API that is served.
    package var serverVersion: String

    package init(
        member: MemberStatistics, calls: CallCounters, health: HealthCounters, process: ProcessStatistics,
        serverVersion: String
    ) {
        self.member = member
        self.calls = calls
        self.health = health
        self.process = process
        self.serverVersion = serverVersion
    }

    package var text: String {
        var out = MetricsText()
        addServer(to: &out)
        addConsensus(to: &out)
        addStore(to: &out)
        addIntegrity(to: &out)
        addLeases(to: &out)
        addCompaction(to: &out)
        addDisk(to: &out)
        addBoundedReads(to: &out)
        addPeers(to: &out)
        addHealth(to: &out)
        addCalls(to: &out)
        addProcess(to: &out)
        return out.page
    }

    private func addServer(to out: inout MetricsText) {
        out.gauge("etcd_server_version", "The version served; always 1.", 1, [("server_version", serverVersion)])
        out.gauge(
            "etcd_server_id", "The member's ID in hexadecimal; always 1.", 1, [("server_id", "\(member.memberID)")])
        if !member.clusterVersion.isEmpty {
            let parts = member.clusterVersion.split(separator: ".").prefix(2).joined(separator: ".")
            out.gauge(
                "etcd_cluster_version", "The cluster version in force; always 1.", 1, [("cluster_version", parts)])
        }
        for peer in member.members {
            out.gauge(
                "etcd_network_known_peers", "1 for each known member of the cluster.", 1,
                [("Local", "\(member.memberID)"), ("Remote", "\(peer.id)")])
        }
        for alarm in member.alarms {
            out.gauge(
                "etcd_debugging_server_alarms", "1 for each raised alarm.", 1,
                [("server_id", String(alarm.member.rawValue)), ("alarm_type", alarm.kind.name)])
        }
        out.gauge(
            "martlet_server_quarantined", "1 when this member serves no clients because its data differ.",
            member.quarantine == nil ? 0 : 1)
        out.counter(
            "martlet_server_corruption_checks_total", "Comparisons of the members' data begun.",
            member.corruptionChecks)
        for request in member.requests {
            out.histogram(
                "etcd_server_request_duration_seconds", "Time from a request's arrival to its answer, raft included.",
                request.durations, [("type", request.operation), ("success", "\(request.success)")])
        }
    }

    private func addConsensus(to out: inout MetricsText) {
        out.gauge("etcd_server_has_leader", "1 when a leader is known.", member.hasLeader ? 1 : 0)
        out.gauge("etcd_server_is_leader", "1 when this member leads.", member.isLeader ? 1 : 0)
        out.gauge("etcd_server_is_learner", "1 when this member is a learner.", member.isLearner ? 1 : 0)
        out.counter("etcd_server_leader_changes_seen_total", "Changes of the leader seen.", member.leaderChanges)
        out.counter(
            "etcd_server_heartbeat_send_failures_total", "Heartbeats sent late by a busy leader.",
            member.heartbeatsFailed)
        out.gauge(
            "etcd_server_proposals_committed_total", "The committed raft index.",
            Double(member.committedIndex.rawValue))
        out.gauge(
            "etcd_server_proposals_applied_total", "The applied raft index.", Double(member.appliedIndex.rawValue))
        out.gauge(
            "etcd_server_proposals_pending", "Proposals that wait to be committed.", Double(member.proposalsPending))
        out.counter("etcd_server_proposals_failed_total", "Proposals that failed.", member.proposalsFailed)
        out.counter("etcd_server_read_indexes_failed_total", "Read indexes that failed.", member.readIndexesFailed)
        out.counter("etcd_server_slow_read_indexes_total", "Read indexes that came late.", member.readIndexesSlow)
        out.gauge(
            "etcd_server_snapshot_apply_in_progress_total", "1 while a leader's snapshot is being taken over.",
            member.isInstallingSnapshot ? 1 : 0)
        out.counter(
            "etcd_server_learner_promote_successes", "Learners promoted by this member.", member.learnerPromotions)
        for (reason, count) in member.refusedPromotions {
            out.counter(
                "etcd_server_learner_promote_failures", "Promotions refused by this member.", count,
                [("Reason", reason)])
        }
        out.counter("etcd_server_slow_apply_total", "Applies slower than the warning limit.", member.slowApplies)
        for apply in member.applies {
            out.histogram(
                "etcd_server_apply_duration_seconds", "Time to apply one committed request.", apply.durations,
                [("version", "v3"), ("op", apply.operation), ("success", "\(apply.success)")])
        }
        for (success, durations) in [("true", member.rangeSucceeded), ("false", member.rangeFailed)]
        where success == "true" || durations.count > 0 {
            out.histogram(
                "etcd_server_range_duration_seconds", "Time to answer a range.", durations, [("success", success)])
        }
    }

    private func addStore(to out: inout MetricsText) {
        out.gauge("etcd_server_quota_backend_bytes", "The quota in force.", Double(member.quota))
        out.gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes allocated by the backend.", Double(member.databaseSize))
        out.gauge(
            "etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes in use of the backend.", Double(member.databaseSizeInUse))
        out.gauge(
            "etcd_mvcc_db_open_read_transactions", "Open read transactions of the backend.",
            Double(member.openReadTransactions))
        out.counter("etcd_mvcc_put_total", "Puts applied.", member.puts)
        out.counter("etcd_mvcc_delete_total", "Deletes applied.", member.deletes)
        out.counter("etcd_mvcc_range_total", "Ranges served.", member.ranges)
        out.counter("etcd_mvcc_txn_total", "Transactions with more than one change applied.", member.txns)
        out.histogram("etcd_mvcc_hash_rev_duration_seconds", "Time of a HashKV.", member.hashKV)
        out.gauge("etcd_debugging_mvcc_keys_total", "Keys in the index.", Double(member.keys))
        out.gauge("etcd_debugging_mvcc_current_revision", "The current revision.", Double(member.revision))
        out.gauge(
            "etcd_debugging_mvcc_compact_revision", "The compacted revision; -1 when there is none.",
            Double(member.compactRevision))
        out.gauge(
            "etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of all key-value pairs put.", Double(member.putBytes))
    }

    private func addLeases(to out: inout MetricsText) {
        out.counter("etcd_debugging_lease_granted_total", "Leases granted.", member.leases.granted)
        out.counter("etcd_debugging_lease_renewed_total", "Leases renewed while leading.", member.leases.renewed)
        out.counter("etcd_debugging_lease_revoked_total", "Leases revoked.", member.leases.revoked)
        out.counter("etcd_debugging_server_lease_expired_total", "Leases that have ended.", member.leases.expired)
        out.histogram(
            "etcd_debugging_lease_ttl_total", "Seconds that leases were granted.", member.leases.grantedTTL)
    }

    private func addCompaction(to out: inout MetricsText) {
        out.counter(
            "etcd_debugging_mvcc_db_compaction_keys_total", "Rows removed by compactions.", member.compactedKeys)
        out.gauge(
            "etcd_debugging_mvcc_db_compaction_last", "Unix time of the last compaction; 0 when there was none.",
            member.lastCompaction)
        out.histogram(
            "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", "Pause by one step of a compaction.",
            member.compactionPause)
        out.histogram(
            "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", "Time of a whole compaction.",
            member.compactionTotal)
        out.histogram(
            "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds", "Pause by a compaction of the index.",
            member.indexCompactionPause)
    }

    private func addDisk(to out: inout MetricsText) {
        out.histogram("etcd_disk_wal_fsync_duration_seconds", "Time of a sync of the WAL.", member.walFsync)
        out.histogram("etcd_disk_wal_write_duration_seconds", "Time of a write to the WAL.", member.walWrite)
        out.gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the WAL.", Double(member.walBytes))
        out.histogram("etcd_disk_backend_commit_duration_seconds", "Time of a backend commit.", member.backendCommit)
        out.histogram(
            "etcd_debugging_disk_backend_commit_rebalance_duration_seconds", "Rebalancing part of a backend commit.",
            member.backendCommitRebalance)
        out.histogram(
            "etcd_debugging_disk_backend_commit_spill_duration_seconds", "Spilling part of a backend commit.",
            member.backendCommitSpill)
        out.histogram(
            "etcd_debugging_disk_backend_commit_write_duration_seconds", "Writing part of a backend commit.",
            member.backendCommitWrite)
        out.histogram(
            "etcd_debugging_snap_save_total_duration_seconds", "Time to save a snapshot file.", member.snapshotSave)
        out.histogram(
            "etcd_debugging_snap_save_marshalling_duration_seconds", "Time to encode a snapshot file.",
            member.snapshotMarshal)
        out.histogram("etcd_snap_fsync_duration_seconds", "Time to sync a snapshot file.", member.snapshotFsync)
    }

    private func addBoundedReads(to out: inout MetricsText) {
        for (outcome, count) in [
            ("at_once", member.boundedReadsAtOnce), ("after_confirmation", member.boundedReadsAfterRound),
            ("refused", member.boundedReadsRefused), ("refused_late", calls.boundedReadsLate),
        ] {
            out.counter(
                "martlet_bounded_reads_total", "Reads with a bound on the age of the state, by outcome.", count,
                [("outcome", outcome)])
        }
    }

    private func addHealth(to out: inout MetricsText) {
        out.counter("etcd_server_health_success", "Health checks that succeeded.", health.succeeded)
        out.counter("etcd_server_health_failures", "Health checks that failed.", health.failed)
        for check in health.checks {
            out.gauge(
                "etcd_server_healthcheck", "The last result of each check.", check.lastPassed ? 1 : 0,
                [("type", check.kind), ("name", check.name)])
        }
        for check in health.checks {
            for (status, count) in [("success", check.passed), ("error", check.failed)] where count > 0 {
                out.counter(
                    "etcd_server_healthchecks_total", "Checks made.", count,
                    [("type", check.kind), ("name", check.name), ("status", status)])
            }
        }
    }

    private func addCalls(to out: inout MetricsText) {
        out.counter(
            "etcd_network_client_grpc_received_bytes_total", "Bytes of messages received from clients.",
            calls.bytesReceived)
        out.counter(
            "etcd_network_client_grpc_sent_bytes_total", "Bytes of messages sent to clients.", calls.bytesSent)
        for (version, count) in calls.versions where count > 0 {
            out.counter(
                "etcd_server_client_requests_total", "Calls by the client's version of the API.", count,
                [("type", "unary"), ("client_api_version", version)])
        }
        func labels(_ method: Method) -> [(String, String)] {
            [
                ("grpc_method", method.name), ("grpc_service", method.service),
                ("grpc_type", method.isServerStream ? "server_stream" : "unary"),
            ]
        }
        for method in Method.allCases {
            out.counter("grpc_server_started_total", "Calls started.", calls.started[method.rawValue], labels(method))
        }
        for method in Method.allCases {
            // A unary call has begun when its message is there.
            out.counter(
                "grpc_server_msg_received_total", "Messages received.", calls.started[method.rawValue], labels(method))
        }
        for method in Method.allCases {
            out.counter(
                "grpc_server_msg_sent_total", "Messages sent.", calls.messagesSent[method.rawValue], labels(method))
        }
        for method in Method.allCases {
            for code in GRPCCode.all {
                out.counter(
                    "grpc_server_handled_total", "Calls finished, by outcome.", calls.finished(method, code),
                    [("grpc_code", code.name)] + labels(method))
            }
        }
    }

    private func addProcess(to out: inout MetricsText) {
        out.counter("process_cpu_seconds_total", "User and system time.", seconds: process.cpuSeconds)
        out.gauge("process_resident_memory_bytes", "Resident memory.", Double(process.residentBytes))
        out.gauge("process_virtual_memory_bytes", "Virtual memory.", Double(process.virtualBytes))
        out.gauge("process_virtual_memory_max_bytes", "Limit of virtual memory.", Double(process.virtualLimit))
        out.gauge("process_open_fds", "Open file descriptors.", Double(process.openDescriptors))
        out.gauge("process_max_fds", "Limit of open file descriptors.", Double(process.descriptorLimit))
        out.gauge("os_fd_used", "Open file descriptors.", Double(process.openDescriptors))
        out.gauge("os_fd_limit", "Limit of open file descriptors.", Double(process.descriptorLimit))
        out.gauge("process_start_time_seconds", "Unix time of the start.", process.startTime)
        out.counter(
            "process_network_receive_bytes_total", "Bytes received by the network namespace.",
            process.networkReceivedBytes)
        out.counter(
            "process_network_transmit_bytes_total", "Bytes sent by the network namespace.", process.networkSentBytes)
        // Pages are made one at a time on their event loop: the one under way is this one.
        out.gauge("promhttp_metric_handler_requests_in_flight", "Scrapes under way.", 1)
        for (code, count) in [("200", health.scrapes), ("500", 0), ("503", health.failedScrapes)] {
            out.counter("promhttp_metric_handler_requests_total", "Scrapes by HTTP code.", count, [("code", code)])
        }
    }
}
