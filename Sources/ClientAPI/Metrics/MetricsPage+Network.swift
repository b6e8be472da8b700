internal import Base
internal import Member

/// The families `etcd_network_*` about other members.
extension MetricsPage {
    func addPeers(to out: inout MetricsText) {
        let peers = member.network.peers
        func labels(_ peer: NetworkStatistics.Peer) -> [(String, String)] {
            [("Local", "\(member.memberID)"), ("Remote", "\(peer.id)")]
        }
        for peer in peers {
            guard let isActive = peer.isActive else { continue }
            out.gauge("etcd_network_active_peers", "1 for each peer that is reached.", isActive ? 1 : 0, labels(peer))
        }
        for peer in peers where peer.isActive != nil {
            out.counter(
                "etcd_network_disconnected_peers_total", "Times that a peer was lost.", peer.disconnections,
                labels(peer))
        }
        let withStrangers = peers + (member.network.strangers.receivedBytes > 0 ? [member.network.strangers] : [])
        for peer in withStrangers {
            out.counter(
                "etcd_network_peer_received_bytes_total", "Bytes received from a peer.", peer.receivedBytes,
                [("From", "\(peer.id)")])
        }
        for peer in peers {
            out.counter(
                "etcd_network_peer_received_failures_total", "What came from a peer and was not taken.",
                peer.receiveFailures, [("From", "\(peer.id)")])
        }
        for peer in peers {
            out.histogram(
                "etcd_network_peer_round_trip_time_seconds", "Round trips of probes.", peer.roundTrips,
                [("To", "\(peer.id)")])
        }
        for peer in peers {
            guard let difference = peer.clockDifference else { continue }
            out.gauge(
                "martlet_network_peer_clock_difference_seconds", "By how much this clock is ahead of a peer's.",
                difference, [("To", "\(peer.id)")])
        }
        for peer in peers {
            out.counter(
                "etcd_network_peer_sent_bytes_total", "Bytes sent to a peer.", peer.sentBytes, [("To", "\(peer.id)")])
        }
        for peer in peers {
            out.counter(
                "etcd_network_peer_sent_failures_total", "Messages to a peer that were dropped.", peer.sendFailures,
                [("To", "\(peer.id)")])
        }
        addSnapshots("send", of: peers.map { Direction($0.snapshotsSent, "To", "\($0.id)") }, to: &out)
        let strangers = Direction(member.network.strangers.snapshotsReceived, "From", "UNKNOWN_SNAPSHOT_SENDER")
        let senders = peers.map { Direction($0.snapshotsReceived, "From", "\($0.id)") }
        addSnapshots("receive", of: senders + [strangers], to: &out)
    }

    /// Snapshots to or from one peer, with the label that names it.
    private struct Direction {
        var snapshots: NetworkStatistics.Snapshots
        var labels: [(String, String)]

        init(_ snapshots: NetworkStatistics.Snapshots, _ label: String, _ peer: String) {
            self.snapshots = snapshots
            labels = [(label, peer)]
        }
    }

    /// - Parameter way: `send` or `receive`.
    private func addSnapshots(
        _ way: String, of peers: [Direction], to out: inout MetricsText
    ) {
        let used = peers.filter(\.snapshots.hasBegun)
        for direction in used {
            out.counter(
                "etcd_network_snapshot_\(way)_failures", "Database snapshots that failed.", direction.snapshots.failed,
                direction.labels)
        }
        for direction in used {
            out.gauge(
                "etcd_network_snapshot_\(way)_inflights_total", "Database snapshots under way.",
                Double(direction.snapshots.underWay), direction.labels)
        }
        for direction in used {
            out.counter(
                "etcd_network_snapshot_\(way)_success", "Database snapshots that arrived.",
                direction.snapshots.succeeded, direction.labels)
        }
        for direction in used {
            out.histogram(
                "etcd_network_snapshot_\(way)_total_duration_seconds", "Time of a database snapshot.",
                direction.snapshots.durations, direction.labels)
        }
    }
}
