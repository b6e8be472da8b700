internal import Base
internal import MVCC
internal import Member

// Whether the members have the same state, by the hash over what entries did. etcd has no counterpart.
extension MetricsPage {
    func addIntegrity(to out: inout MetricsText) {
        out.gauge(
            "martlet_effects_index", "Last entry of the last finished window of the hash over effects; 0 for none.",
            Double(member.effects.last?.index.rawValue ?? 0))
        for (peer, index) in member.effectsAgreed {
            out.gauge(
                "martlet_effects_agreed_index", "Last entry up to which another member was seen to agree.",
                Double(index.rawValue), [("remote", "\(peer)")])
        }
        out.counter(
            "martlet_effects_comparisons_total", "Comparisons of the hash over effects with other members.",
            member.effectsComparisons)
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
