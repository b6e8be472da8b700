internal import NIOCore
internal import NIOHTTP1
internal import RaftCore

/// Connections to a peer that are open and hardly used, so that something can be said to it that its streams do not get
/// through any more: while acknowledgements stay away, the kernel holds back what is written to a connection that has
/// sent something lately, but not the first bytes on an idle one. Used on its event loop only.
///
/// Probes keep them open, in turn. Decision 142.
final class SpareLines {
    static let count = 2

    private let core: TransportCore
    private let lines: [KeptConnection]
    private var urls: PeerURLs

    init(_ core: TransportCore, urls: PeerURLs) {
        self.core = core
        self.urls = urls
        lines = (0..<Self.count).map { _ in KeptConnection(core.connector) }
    }

    /// To be called when the peer can be reached; probes need not come first.
    func open() {
        for line in lines { line.open(to: urls.current ?? "") }
    }

    /// - Parameter turn: which line. Nothing is asked while it waits for an answer, or every other one does: one is
    ///   always left free.
    func ask(_ request: PeerRequest, over turn: Int, finish: @escaping (Result<PeerAnswer, any Error>) -> Void) {
        let line = lines[turn]
        guard !line.isBusy, lines.contains(where: { $0 !== line && !$0.isBusy }) else { return }
        line.send(request, to: urls.current ?? "") { [weak self] result in
            if case .failure = result { self?.urls.moveOn() }
            finish(result)
        }
    }

    /// Posts a message at once, if a line is free. It is also on its way by a stream: nobody waits for the outcome.
    func post(_ message: Message) {
        guard let url = urls.current, let line = lines.first(where: { $0.isReady(for: url) }) else { return }
        line.send(core.post(message), to: url) { _ in }
    }

    func update(_ urls: [String]) { self.urls.replace(with: urls) }

    func close() { for line in lines { line.close() } }
}
