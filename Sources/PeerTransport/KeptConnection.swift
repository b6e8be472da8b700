internal import Base
internal import NIOCore
internal import NIOHTTP1

/// What is asked of a peer, or posted to it.
struct PeerRequest {
    var method: HTTPMethod
    var path: String
    /// Besides the host and the length of the body.
    var headers: HTTPHeaders = [:]
    var body: [UInt8] = []
    /// For the connection, if there is none yet, and the answer.
    var timeout: TimeAmount
}

/// The whole answer to a request.
struct PeerAnswer: Sendable {
    var status: Int
    var headers: HTTPHeaders
    var body: [UInt8]
    /// From the request to the end of the answer, without the time to connect.
    var roundTrip: Duration
}

/// A connection to a peer that is kept between requests, of which there is one at a time. Used on its event loop only.
final class KeptConnection {
    private let connector: PeerConnector
    /// nil when there is no connection, and none is being made.
    private var line: Line?
    private var exchange: Exchange?
    private var deadline: Scheduled<Void>?

    /// A request and what has come back so far.
    private struct Exchange {
        var request: PeerRequest
        var finish: (Result<PeerAnswer, any Error>) -> Void
        var asked: NIODeadline?
        var head: HTTPResponseHead?
        var body: [UInt8] = []
    }

    init(_ connector: PeerConnector) { self.connector = connector }

    /// Whether a request is under way.
    var isBusy: Bool { exchange != nil }

    /// Whether a request to `url` would leave at once.
    func isReady(for url: String) -> Bool {
        guard let line, line.channel != nil, exchange == nil else { return false }
        return line.address == PeerAddress(url: url)
    }

    /// Connects, if there is no connection: the next request can leave at once.
    func open(to url: String) {
        guard line == nil, let address = PeerAddress(url: url) else { return }
        connect(to: address)
    }

    /// Sends a request, connecting first if need be. Not to be called while another one is under way.
    /// - Parameter finish: called once, on the event loop; not if `close()` comes before.
    func send(_ request: PeerRequest, to url: String, finish: @escaping (Result<PeerAnswer, any Error>) -> Void) {
        precondition(!isBusy)
        guard let address = PeerAddress(url: url) else { return finish(.failure(PeerFailure.noAddress(url))) }
        if let line, line.address != address { close() }
        exchange = Exchange(request: request, finish: finish)
        let bound = NIOLoopBound(self, eventLoop: connector.eventLoop)
        deadline = connector.eventLoop.scheduleTask(in: request.timeout) {
            bound.value.end(.failure(PeerFailure.timeout))
        }
        if let line { write(to: line) } else { connect(to: address) }
    }

    /// Closes the connection and forgets what is under way.
    func close() {
        deadline?.cancel()
        exchange = nil
        let channel = line?.channel
        line = nil
        channel?.close(promise: nil)
    }

    private func connect(to address: PeerAddress) {
        let line = Line(to: address, of: self)
        self.line = line
        connector.connect(to: address, receiver: line) { [weak self] result in
            guard let self, self.line === line else {
                if case .success(let channel) = result { channel.close(promise: nil) }
                return
            }
            switch result {
            case .failure(let error): end(.failure(error))
            case .success(let channel):
                line.channel = channel
                write(to: line)
            }
        }
    }

    private func write(to line: Line) {
        guard let channel = line.channel, let request = exchange?.request else { return }
        exchange?.asked = .now()
        line.uses += 1
        var headers = HTTPHeaders([("Host", line.address.host)])
        headers.add(contentsOf: request.headers)
        headers.add(name: "Content-Length", value: String(request.body.count))
        let head = HTTPRequestHead(version: .http1_1, method: request.method, uri: request.path, headers: headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if !request.body.isEmpty {
            channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: request.body))), promise: nil)
        }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }

    /// A connection stays after a whole answer only.
    private func end(_ result: Result<PeerAnswer, any Error>) {
        let finish = exchange?.finish
        if case .success = result {
            deadline?.cancel()
            exchange = nil
        } else {
            close()
        }
        finish?(result)
    }

    // MARK: Answers

    fileprivate func hears(_ line: Line) -> Bool { self.line === line }

    fileprivate func received(_ head: HTTPResponseHead) { exchange?.head = head }

    fileprivate func received(_ part: inout ByteBuffer) {
        guard let count = exchange?.body.count else { return }
        guard count + part.readableBytes <= PeerLimits.answerBytes else {
            return end(.failure(PeerFailure.answerTooLarge))
        }
        exchange?.body.append(contentsOf: part.readableBytesView)
    }

    fileprivate func completed() {
        guard let exchange, let head = exchange.head, let asked = exchange.asked else { return }
        let roundTrip = Duration.nanoseconds((NIODeadline.now() - asked).nanoseconds)
        let answer = PeerAnswer(
            status: Int(head.status.code), headers: head.headers, body: exchange.body, roundTrip: roundTrip)
        if !head.isKeepAlive {
            let channel = line?.channel
            line = nil
            channel?.close(promise: nil)
        }
        end(.success(answer))
    }

    fileprivate func closed(_ error: (any Error)?) {
        guard let line else { return }
        self.line = nil
        // A peer closes what it has not used for a while, and may do so while a question is on its way.
        if let exchange, exchange.head == nil, exchange.request.method == .GET, line.uses > 1 {
            return connect(to: line.address)
        }
        end(.failure(error ?? PeerFailure.closed))
    }
}

/// One connection of several that a `KeptConnection` has in the course of time; what a former one brings is not heard.
private final class Line: ResponseReceiver {
    let address: PeerAddress
    private weak var owner: KeptConnection?
    /// nil while it is being connected.
    var channel: (any Channel)?
    /// Requests that were written to it.
    var uses = 0

    init(to address: PeerAddress, of owner: KeptConnection) {
        self.address = address
        self.owner = owner
    }

    private var hearer: KeptConnection? { owner?.hears(self) == true ? owner : nil }

    func received(_ head: HTTPResponseHead) { hearer?.received(head) }
    func received(_ body: inout ByteBuffer) { hearer?.received(&body) }
    func completed() { hearer?.completed() }
    func closed(_ error: (any Error)?) { hearer?.closed(error) }
}
