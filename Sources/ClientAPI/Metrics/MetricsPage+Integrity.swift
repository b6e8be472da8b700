internal import Base
internal import MVCC
internal import Member

// Whether the members have the same state, by the hash over what entries did. etcd has no counterpart.
extension MetricsPage {
    func addIntegrity(to out: inout MetricsText) {
        out.gauge(
            "martlet_effects_index", "Last entry of the last finished window of the hash over effects; 0 for none.",
            Double(member.effects.last?.index.rawValue ?? 0))
        out.counter(
            "martlet_divergences_found_total", "Members found to have come apart from this one.",
            member.divergencesFound)
        for divergence in member.divergences {
            out.gauge(
                "martlet_diverged_index", "Last entry of the window in which another member differs from this one.",
                Double(divergence.index.rawValue), [("remote", "\(divergence.member)")])
        }
    }
}
