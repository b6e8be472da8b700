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
}
