internal import Base
internal import Logging
internal import Member
internal import NIOCore
internal import Platform
internal import RaftCore

/// A member of the cluster as the transport knows it: its two streams in each direction, its pipeline, and whether it
/// can be reached. Used on its event loop only.
final class Peer {
    let id: MemberID
    private let core: TransportCore
    var urls: PeerURLs
    private var appendStream: OutgoingStream?
    private var messageStream: OutgoingStream?
    private var readers: [StreamReader] = []
    private let pipeline: PostPipeline
    let spareLines: SpareLines
    private(set) var activity: PeerActivity = .unknown
    /// Where nobody has listened since the peer was reached last.
    private var refusedURLs: Set<String> = []
    private var hasToldEnd = false
    /// Why the peer gives no stream, as it was told last.
    private var toldRefusal: String?
    /// Without the bytes of the streams that are open.
    let record: PeerFigures
    var figures: NetworkStatistics.Peer {
        _read { yield record.value }
        _modify { yield &record.value }
    }
    /// Messages of the turn that is being carried out.
    private var appends: [Message] = []
    private var others: [Message] = []
    /// Posts of snapshots to this peer.
    var snapshots: [SnapshotPost] = []

    init(_ id: MemberID, urls: [String], core: TransportCore, record: PeerFigures) {
        self.id = id
        self.core = core
        self.urls = PeerURLs(urls)
        self.record = record
        pipeline = PostPipeline(core, to: id, urls: PeerURLs(urls))
        spareLines = SpareLines(core, urls: PeerURLs(urls))
    }

    func start() {
        core.logger.info("starting remote peer", metadata: ["remote-peer-id": "\(id)"])
        pipeline.onOutcome = { [weak self] outcome in
            guard let self else { return }
            switch outcome {
            case .success: succeeded()
            case .failure(let error):
                figures.sendFailures += 1
                failed("failed to post message: \(error)")
            }
        }
        for kind in StreamKind.allCases {
            let reader = StreamReader(kind, of: self, core: core)
            readers.append(reader)
            reader.start()
        }
    }

    func update(_ urls: [String]) {
        self.urls.replace(with: urls)
        pipeline.urls.replace(with: urls)
        spareLines.update(urls)
    }

    func stop() {
        for reader in readers { reader.stop() }
        for stream in [appendStream, messageStream] { stream?.close() }
        pipeline.stop()
        spareLines.close()
        for post in snapshots { post.cancel() }
        core.logger.info("stopped remote peer", metadata: ["remote-peer-id": "\(id)"])
    }

    // MARK: Streams

    /// The peer has dialled; a stream of the same kind is replaced.
    func attach(_ stream: OutgoingStream) {
        switch stream.kind {
        case .append:
            if replace(appendStream) { core.unreachable(id) }
            appendStream = stream
        case .message:
            if replace(messageStream) { core.unreachable(id) }
            messageStream = stream
        }
        succeeded()
        core.logger.info(
            "established TCP streaming connection with remote peer",
            metadata: [
                "stream-writer-type": "\(stream.kind.rawValue)", "local-member-id": "\(core.identity.localID)",
                "remote-peer-id": "\(id)",
            ])
    }

    /// - Returns: whether messages were lost with it.
    private func replace(_ stream: OutgoingStream?) -> Bool {
        guard let stream else { return false }
        retire(stream)
        return stream.close()
    }

    /// What a stream has sent is counted once, when it is given up.
    private func retire(_ stream: OutgoingStream) {
        guard stream === appendStream || stream === messageStream else { return }
        figures.sentBytes += stream.sentBytes
    }

    var statistics: NetworkStatistics.Peer {
        var statistics = figures
        for stream in [appendStream, messageStream] { statistics.sentBytes += stream?.sentBytes ?? 0 }
        return statistics
    }

    /// The stream's connection is gone.
    func detach(_ stream: OutgoingStream) {
        let lostMessages = stream.close()
        retire(stream)
        if appendStream === stream { appendStream = nil }
        if messageStream === stream { messageStream = nil }
        if lostMessages { core.unreachable(id) }
        core.logger.warning(
            "lost TCP streaming connection with remote peer",
            metadata: [
                "stream-writer-type": "\(stream.kind.rawValue)", "local-member-id": "\(core.identity.localID)",
                "remote-peer-id": "\(id)",
            ])
    }

    // MARK: Sending

    var hasQueued: Bool { !appends.isEmpty || !others.isEmpty }

    /// Adds a message to the batch of this turn.
    func queue(_ message: Message) {
        if message.type == .append {
            appends.append(message)
        } else {
            others.append(message)
            // The last word of a leader that hears nobody: its streams are stuck. A second one is no news to the peer.
            if message.type == .timeoutNow { spareLines.post(message) }
        }
    }

    /// Sends the batch: one write for each stream.
    func flush() {
        var isComplete = true
        if !appends.isEmpty {
            isComplete = send(appends, over: appendStream ?? messageStream)
            appends.removeAll(keepingCapacity: true)
        }
        if !others.isEmpty {
            isComplete = send(others, over: messageStream) && isComplete
            others.removeAll(keepingCapacity: true)
        }
        if !isComplete {
            figures.sendFailures += 1
            core.unreachable(id)
        }
    }

    private func send(_ messages: [Message], over stream: OutgoingStream?) -> Bool {
        if let stream { return stream.send(messages) }
        var isComplete = true
        for message in messages where !pipeline.post(message) { isComplete = false }
        return isComplete
    }

    // MARK: Activity

    func succeeded() {
        refusedURLs = []
        hasToldEnd = false
        toldRefusal = nil
        guard case .active = activity else {
            core.logger.info("peer became active", metadata: ["peer-id": "\(id)"])
            let now = core.now()
            activity = .active(since: now)
            figures.isActive = true
            core.tell(.activity(of: id, since: now))
            spareLines.open()
            return
        }
    }

    /// Nobody listens at one of the peer's addresses. That alone says little: what stands in front of a peer may refuse
    /// new connections while the old ones work.
    func refused(at url: String) {
        refusedURLs.insert(url)
        guard !hasToldEnd, urls.urls.allSatisfy(refusedURLs.contains), appendStream == nil, messageStream == nil,
            !readers.contains(where: \.isAttached)
        else { return }
        hasToldEnd = true
        core.tell(.ended(id))
    }

    /// The peer gives no stream, and will not: told once, not at each dial.
    func refused(because failure: PeerFailure) {
        let reason = "\(failure)"
        guard toldRefusal != reason else { return }
        toldRefusal = reason
        core.logger.warning(
            "request sent was ignored by remote peer",
            metadata: [
                "remote-peer-id": "\(id)", "local-member-id": "\(core.identity.localID)",
                "local-member-cluster-id": "\(core.identity.clusterID)", "error": "\(reason)",
            ])
    }

    func failed(_ reason: String) {
        switch activity {
        case .active:
            figures.isActive = false
            figures.disconnections += 1
            core.logger.warning(
                "peer became inactive (message send to peer failed)",
                metadata: ["peer-id": "\(id)", "error": "\(reason)"])
            core.tell(.activity(of: id, since: nil))
        case .unknown, .inactive: core.logger.debug("\(reason)", metadata: ["peer-id": "\(id)"])
        }
        activity = .inactive
    }
}

/// Whether a peer can be reached.
enum PeerActivity: Equatable {
    case unknown
    case active(since: Instant)
    case inactive
}

/// A sender that is no member yet, or of which this member has not heard: it is answered by post alone.
final class Remote {
    let pipeline: PostPipeline
    let record: PeerFigures

    init(_ id: MemberID, urls: [String], core: TransportCore) {
        pipeline = PostPipeline(core, to: id, urls: PeerURLs(urls))
        record = PeerFigures(id)
    }
}
