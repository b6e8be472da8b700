internal import Base
internal import Member

/// What went to and came from one peer, or sender that is no peer yet. Shared by whatever counts for it, and kept when
/// the sender becomes a peer. Used on the transport's event loop only.
final class PeerFigures {
    var value: NetworkStatistics.Peer

    init(_ id: MemberID) { value = NetworkStatistics.Peer(id) }
}
