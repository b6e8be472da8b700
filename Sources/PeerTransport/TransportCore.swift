internal import Base
internal import Logging
internal import MVCC
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Platform
internal import RaftCore

/// The state of a transport: its peers and who hears from them. Everything here and below it runs on one event loop, so
/// that a turn of the member costs one hop, whatever the number of peers.
final class TransportCore {
    let eventLoop: any EventLoop
    let identity: PeerIdentity
    let connector: PeerConnector
    let logger: Logger
    let clock: any Clock
    let storage: SnapshotStorage
    /// Reads and writes databases: the loop must not wait for a disk.
    let diskThreads: NIOThreadPool
    let requestTimeout: TimeAmount
    private(set) var host: (any PeerHost)?
    private(set) var peers: [Peer] = []
    private var remotes: [(id: MemberID, remote: Remote)] = []
    private(set) var removedMembers: Set<MemberID> = []
    private var snapshotsUnderWay = 0
    var snapshotPace: SnapshotPace
    private var received: [Message] = []
    private var deliversSoon = false
    private var isStopped = false
    private var wasToldRemoved = false
    /// What Martlet members that ask are told.
    private(set) var effectsNote: EffectsNote
    /// Of senders that did not say who they are.
    private let strangers = PeerFigures(.none)
    private var probes: PeerProbes?
    private var connections = 0
    private var intakes = 0
    /// Databases on their way to members that have asked for them.
    var databasesGiven = 0
    /// Who waits for this member to compare its data with theirs.
    var accusations: [UInt64: (SelfFinding?) -> Void] = [:]
    var lastAccusation: UInt64 = 0

    init(_ settings: RaftTransport.Settings, identity: PeerIdentity, eventLoop: any EventLoop, logger: Logger) {
        self.identity = identity
        effectsNote = EffectsNote(cluster: identity.clusterID, member: identity.localID)
        self.eventLoop = eventLoop
        self.logger = logger
        clock = settings.clock
        storage = SnapshotStorage(disk: settings.disk, directory: settings.snapshotDirectory)
        diskThreads = settings.diskThreads
        snapshotPace = SnapshotPace(bytesPerSecond: settings.snapshotBytesPerSecond)
        requestTimeout = TimeAmount(settings.requestTimeout)
        connector = PeerConnector(
            eventLoop: eventLoop, dialTimeout: .seconds(1) + TimeAmount(settings.electionTimeout),
            tls: settings.dialTLS)
    }

    func now() -> Instant { clock.now() }

    private(set) lazy var endpoints = PeerEndpoints(self)

    /// Whether one more connection of a peer is taken; it is counted until it closes.
    func admits(_ channel: any Channel) -> Bool {
        guard !isStopped, connections < PeerLimits.connections else { return false }
        connections += 1
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        channel.closeFuture.whenComplete { _ in bound.value.connections -= 1 }
        return true
    }

    /// A database that is about to come in; its file has a name of its own.
    func writeBehind(
        pause: @escaping (Bool) -> Void, failed: @escaping (any Error) -> Void
    ) -> DatabaseWriteBehind {
        intakes += 1
        return DatabaseWriteBehind(
            storage, number: intakes, threads: diskThreads, eventLoop: eventLoop, pause: pause, failed: failed)
    }

    /// A database that is about to go out, at the speed that all of them together may have.
    func readAhead(of copy: BackendCopy, into outlet: any DatabaseOutlet) -> DatabaseReadAhead {
        let pace = DatabaseReadAhead.Pace(pieceBytes: snapshotPace.pieceBytes) { [self] in
            snapshotPace.wait(for: $0, at: now())
        }
        return DatabaseReadAhead(copy, into: outlet, pace: pace, threads: diskThreads, eventLoop: eventLoop)
    }

    func start(_ host: any PeerHost) {
        self.host = host
        let probes = PeerProbes(self)
        self.probes = probes
        probes.start()
    }

    func stop() {
        isStopped = true
        probes?.stop()
        for peer in peers { peer.stop() }
        peers = []
        for remote in remotes { remote.remote.pipeline.stop() }
        remotes = []
        host = nil
    }

    // MARK: Figures

    /// Where to count for a sender.
    func record(of id: MemberID?) -> PeerFigures {
        guard let id else { return strangers }
        return peer(id)?.record ?? remotes.first { $0.id == id }?.remote.record ?? strangers
    }

    var statistics: NetworkStatistics {
        var statistics = NetworkStatistics()
        statistics.peers = (peers.map(\.statistics) + remotes.map { $0.remote.record.value }).sorted { $0.id < $1.id }
        statistics.strangers = strangers.value
        return statistics
    }

    // MARK: Work of the member

    func carry(out work: PeerWork) {
        guard !isStopped else { return }
        for change in work.changes where !change.isRemoval { apply(change) }
        for message in work.messages { route(message) }
        for peer in peers where peer.hasQueued { peer.flush() }
        // Who is removed has got the last messages, with the commit index of that change.
        for change in work.changes where change.isRemoval { apply(change) }
        for snapshot in work.snapshots { send(snapshot) }
        for promotion in work.promotions { forward(promotion) }
        for question in work.leaseQuestions { ask(question) }
        if work.asksVersions { askVersions() }
        if let account = work.effects { effectsNote.account = account }
        for item in work.corruption { carry(out: item) }
    }

    func peer(_ id: MemberID) -> Peer? { peers.first { $0.id == id } }

    private func apply(_ change: PeerChange) {
        switch change {
        case .add(let id, let urls):
            guard id != identity.localID else { return }
            if let peer = peer(id) { return peer.update(urls) }
            let known = remotes.first { $0.id == id }?.remote.record
            let peer = Peer(id, urls: urls, core: self, record: known ?? PeerFigures(id))
            peers.append(peer)
            peers.sort { $0.id < $1.id }
            remotes.removeAll { entry in
                guard entry.id == id else { return false }
                entry.remote.pipeline.stop()
                return true
            }
            peer.start()
        case .introduce(let id, let urls): remember(id, urls)
        case .remove(let id):
            removedMembers.insert(id)
            guard let index = peers.firstIndex(where: { $0.id == id }) else { return }
            peers.remove(at: index).stop()
        }
    }

    private func route(_ message: Message) {
        if let peer = peer(message.to) { return peer.queue(message) }
        if let remote = remotes.first(where: { $0.id == message.to }) {
            // One that is no member yet has no figures of its own.
            _ = remote.remote.pipeline.post(message)
            return
        }
        logger.debug(
            "ignored message send request; unknown remote peer target",
            metadata: ["type": "\(message.type)", "unknown-target-peer-id": "\(message.to)"])
    }

    private func send(_ snapshot: OutgoingSnapshot) {
        let id = snapshot.message.to
        guard let peer = peer(id), snapshotsUnderWay < PeerLimits.snapshotsUnderWay else {
            tell(.snapshotSent(to: id, failed: true))
            return
        }
        snapshotsUnderWay += 1
        peer.figures.snapshotsSent.begin()
        let start = now()
        let figures = peer.record
        let post = SnapshotPost(snapshot, to: peer, core: self) { [weak self, weak peer] post, error in
            guard let self else { return }
            snapshotsUnderWay -= 1
            peer?.snapshots.removeAll { $0 === post }
            figures.value.snapshotsSent.end(after: error == nil ? (now() - start).inSeconds : nil)
            if let error {
                figures.value.sendFailures += 1
                peer?.failed("failed to send database snapshot: \(error)")
                unreachable(id)
            } else {
                peer?.succeeded()
            }
            tell(.snapshotSent(to: id, failed: error != nil))
        }
        peer.snapshots.append(post)
        post.start()
    }

    // MARK: Reports to the member

    /// - Returns: whether the member has taken it.
    @discardableResult
    func tell(_ report: PeerReport) -> Bool { host?.report(report, isIdle: false) ?? false }

    func unreachable(_ id: MemberID) { tell(.unreachable(id)) }

    /// Why a posted message is not taken, nil if it is.
    func refusal(of message: Message) -> PeerRefusal? {
        if removedMembers.contains(message.from) { return .forbidden("cannot process message from removed member") }
        if message.to != identity.localID { return .forbidden("cannot process message to mismatch member") }
        return nil
    }

    /// A message has come in. All of one turn of the loop are handed over together.
    func receive(_ message: Message) {
        guard message.to == identity.localID else {
            logger.warning(
                "ignored message to mismatched member",
                metadata: ["from": "\(message.from)", "to": "\(message.to)", "type": "\(message.type)"])
            return
        }
        guard !removedMembers.contains(message.from) else { return }
        received.append(message)
        if received.count >= PeerLimits.messagesPerBatch { return deliver() }
        guard !deliversSoon else { return }
        deliversSoon = true
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute {
            bound.value.deliversSoon = false
            bound.value.deliver()
        }
    }

    private func deliver() {
        guard !received.isEmpty else { return }
        var batch: [Message] = []
        swap(&batch, &received)
        let count = batch.count
        // Few messages in one turn of the loop: nothing else is going on.
        let isIdle = count <= PeerLimits.idleBatch
        if host?.report(.messages(batch), isIdle: isIdle) != true {
            for message in batch { record(of: message.from).value.receiveFailures += 1 }
            logger.warning("dropped received messages: the member is too busy", metadata: ["count": "\(count)"])
        }
    }

    /// A peer does not know this member any more.
    func removed(toldBy peer: MemberID) {
        guard !wasToldRemoved else { return }
        wasToldRemoved = true
        logger.error("the member has been permanently removed from the cluster", metadata: ["told-by": "\(peer)"])
        tell(.removedFromCluster)
    }

    // MARK: Senders

    /// Remembers a sender that is no peer, so that it can be answered.
    func remember(_ introduction: PeerIntroduction) {
        if let id = introduction.from { remember(id, introduction.peerURLs) }
    }

    private func remember(_ id: MemberID, _ urls: [String]) {
        guard id != .none, id != identity.localID, !urls.isEmpty, peer(id) == nil, !removedMembers.contains(id) else {
            return
        }
        if let known = remotes.first(where: { $0.id == id }) {
            known.remote.pipeline.urls.replace(with: urls)
            return
        }
        // The oldest goes: it can introduce itself again.
        if remotes.count >= PeerLimits.remotes { remotes.removeFirst().remote.pipeline.stop() }
        remotes.append((id, Remote(id, urls: urls, core: self)))
    }

    // MARK: Questions

    /// Asks the leader to promote a learner.
    private func forward(_ promotion: ForwardedPromotion) {
        let url = peer(promotion.leader)?.urls.current ?? ""
        PeerQuestion.ask(
            url, .POST, "/members/promote/\(promotion.learner.rawValue)", through: connector, timeout: requestTimeout
        ) { [weak self] result in
            self?.tell(.promoted(number: promotion.number, PromotionAnswer.error(of: result)))
        }
    }

    private func askVersions() {
        let asking = VersionRound(count: peers.count) { [weak self] versions in self?.tell(.versions(versions)) }
        for peer in peers {
            let id = peer.id
            PeerVersions.ask(id, urls: peer.urls.urls, through: connector, timeout: requestTimeout) {
                asking.answered($0)
            }
        }
    }
}
