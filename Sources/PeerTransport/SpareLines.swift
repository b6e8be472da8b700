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
    private let lines: [Line]

    private final class Line {
        let connection: KeptConnection
        var urls: PeerURLs

        init(_ connection: KeptConnection, urls: PeerURLs) {
            self.connection = connection
            self.urls = urls
        }

        var url: String { urls.current ?? "" }
        /// Open, and waiting for nothing.
        var isReady: Bool { connection.isReady(for: url) }
    }

    init(_ core: TransportCore, urls: PeerURLs) {
        self.core = core
        lines = (0..<Self.count).map { _ in Line(KeptConnection(core.connector), urls: urls) }
    }

    /// To be called when the peer can be reached; probes need not come first.
    func open() {
        for line in lines { line.connection.open(to: line.url) }
    }

    /// - Parameter turn: which line is next, if all are open; one that is closed comes first. While the other lines
    ///   wait for answers nothing is asked: the last one is left free, and only opened.
    func ask(_ request: PeerRequest, turn: Int, finish: @escaping (Result<PeerAnswer, any Error>) -> Void) {
        let free = lines.filter { !$0.connection.isBusy }
        guard free.count > 1 else {
            for line in free { line.connection.open(to: line.url) }
            return
        }
        let line = free.first { !$0.isReady } ?? free[turn % free.count]
        line.connection.send(request, to: line.url) { [weak self] result in
            switch result {
            case .success: self?.open()
            case .failure: line.urls.moveOn()
            }
            finish(result)
        }
    }

    /// Posts a message at once, if a line is ready. It is also on its way by a stream: nobody waits for the outcome.
    func post(_ message: Message) {
        guard let line = lines.first(where: \.isReady) else { return }
        line.connection.send(core.request(bringing: message), to: line.url) { _ in }
    }

    func update(_ urls: [String]) {
        for line in lines { line.urls.replace(with: urls) }
    }

    func close() {
        for line in lines { line.connection.close() }
    }
}
