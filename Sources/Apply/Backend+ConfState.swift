internal import Base
public import MVCC
public import RaftCore

extension Backend {
    /// Records the configuration that raft is in, as JSON, for tools that read the file.
    public func setConfState(_ state: ConfState) {
        func list(_ name: String, _ members: [MemberID]) -> [JSON.Member] {
            members.isEmpty ? [] : [.init(name, .array(members.map { .number(String($0.rawValue)) }))]
        }
        let fields =
            list("voters", state.voters) + list("learners", state.learners)
            + list("voters_outgoing", state.votersOutgoing) + list("learners_next", state.learnersNext)
            + [.init("auto_leave", .bool(state.autoLeave))]
        put(MetaKey.confState, Array(JSON.object(fields).text.utf8), in: .meta)
    }

    /// The configuration that was recorded, each list ascending; nil when there is none that can be read. Tools and
    /// older versions let it go stale: nothing may start from it.
    public var storedConfState: ConfState? {
        guard let bytes = try? get(MetaKey.confState, in: .meta), let document = try? JSON.parse(bytes) else {
            return nil
        }
        func list(_ name: String) -> [MemberID] {
            (document[name]?.array ?? []).compactMap { $0.unsigned.map { MemberID($0) } }.sorted()
        }
        return ConfState(
            voters: list("voters"), learners: list("learners"), votersOutgoing: list("voters_outgoing"),
            learnersNext: list("learners_next"), autoLeave: document["auto_leave"]?.bool ?? false)
    }
}
