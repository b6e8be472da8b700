internal import Base
internal import Logging
internal import Member
internal import NIOCore
internal import PeerTransport

/// Compares a member's data with the others' before it serves anybody: etcd's initial check, in its words.
struct InitialCheck {
    private let settings: MemberConfiguration
    private let logger: Logger
    private let directory: ClusterDirectory

    init(_ settings: MemberConfiguration, _ tls: MemberTLS, _ logger: Logger, eventLoop: any EventLoop) {
        self.settings = settings
        self.logger = logger
        directory = ClusterDirectory(eventLoop: eventLoop, timeout: settings.requestTimeout, tls: tls.dialling)
    }

    /// - Throws: when the data differ. A member that may take another's instead starts in quarantine if a majority
    ///   proves them wrong.
    func run(_ member: OpenedMember) async throws {
        let id = member.memberID
        logger.info("starting initial corruption check", metadata: ["local-member-id": "\(id)"])
        let own = try member.hash()
        let answers = await directory.hashes(
            of: member.otherMembers, atRevision: own.newestRevision, in: member.clusterID)
        for answer in answers { report(answer, own, id) }
        let different = member.differing(answers, from: own)
        guard !different.isEmpty else {
            logger.info("initial corruption checking passed; no corruption", metadata: ["local-member-id": "\(id)"])
            return
        }
        if settings.resyncsCorruptMember, let reason = member.quarantine(own, by: answers) {
            return logger.error(
                "the data differ from those of the other members; starting in quarantine",
                metadata: ["local-member-id": "\(id)", "reason": "\(reason)"])
        }
        let list = different.map(\.description).joined(separator: ", ")
        throw ValueError(
            "\(id) found data inconsistency with peers: its rows up to revision \(own.newestRevision) differ from those "
                + "of \(list); if those are right, remove this member and add a new one in its place")
    }

    private func report(_ answer: PeerHash, _ own: MemberHash, _ id: MemberID) {
        var metadata: Logger.Metadata = [
            "local-member-id": "\(id)", "local-member-revision": "\(own.newestRevision)",
            "local-member-compact-revision": "\(own.compactRevision)", "local-member-hash": "\(own.hash)",
            "remote-peer-id": "\(answer.member)",
        ]
        switch answer.answer {
        case .hash(let hash):
            guard hash.hash != own.hash else { return }
            metadata["remote-peer-revision"] = "\(hash.newestRevision)"
            metadata["remote-peer-compact-revision"] = "\(hash.compactRevision)"
            metadata["remote-peer-hash"] = "\(hash.hash)"
            logger.warning(
                hash.compactRevision == own.compactRevision
                    ? "found different hash values from remote peer"
                    : "found different compact revision values from remote peer", metadata: metadata)
        case .futureRevision: logger.warning("cannot fetch hash from slow remote peer", metadata: metadata)
        case .compacted:
            logger.warning("cannot fetch hash from remote peer; local member is behind", metadata: metadata)
        case .otherCluster: logger.warning("cluster ID mismatch", metadata: metadata)
        case .none(let reason):
            metadata["error"] = "\(reason)"
            logger.warning("failed hash kv request", metadata: metadata)
        }
    }
}
