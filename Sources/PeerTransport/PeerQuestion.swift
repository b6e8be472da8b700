internal import Base
internal import NIOCore
internal import NIOHTTP1

/// One request on a connection of its own, and its whole answer: `/members`, `/version`, `/raft/probing`, promotions.
final class PeerQuestion: ResponseReceiver {
    struct Answer: Sendable {
        var status: Int
        var headers: HTTPHeaders
        var body: [UInt8]
        /// From the question to the end of the answer, without the time to connect.
        var roundTrip: Duration
    }

    private let eventLoop: any EventLoop
    private var finish: ((Result<Answer, any Error>) -> Void)?
    private var channel: (any Channel)?
    private var asked: NIODeadline?
    private var head: HTTPResponseHead?
    private var body: [UInt8] = []
    private var deadline: Scheduled<Void>?

    private init(_ eventLoop: any EventLoop, _ finish: @escaping (Result<Answer, any Error>) -> Void) {
        self.eventLoop = eventLoop
        self.finish = finish
    }

    /// Asks. `finish` is called once, on the event loop.
    static func ask(
        _ url: String, _ method: HTTPMethod, _ path: String, headers: HTTPHeaders = [:], body: [UInt8] = [],
        through connector: PeerConnector, timeout: TimeAmount,
        finish: @escaping (Result<Answer, any Error>) -> Void
    ) {
        guard let address = PeerAddress(url: url) else { return finish(.failure(PeerFailure.noAddress(url))) }
        let question = PeerQuestion(connector.eventLoop, finish)
        let bound = NIOLoopBound(question, eventLoop: connector.eventLoop)
        question.deadline = connector.eventLoop.scheduleTask(in: timeout) {
            bound.value.end(.failure(PeerFailure.timeout))
        }
        connector.connect(to: address, receiver: question) { result in
            switch result {
            case .failure(let error): question.end(.failure(error))
            case .success(let channel):
                question.channel = channel
                guard question.finish != nil else { return channel.close(promise: nil) }
                var all = headers
                all.replaceOrAdd(name: "Host", value: address.host)
                all.replaceOrAdd(name: "Connection", value: "close")
                all.replaceOrAdd(name: "Content-Length", value: String(body.count))
                let head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: all)
                channel.write(HTTPClientRequestPart.head(head), promise: nil)
                if !body.isEmpty {
                    channel.write(
                        HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil)
                }
                question.asked = .now()
                channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            }
        }
    }

    private func end(_ result: Result<Answer, any Error>) {
        deadline?.cancel()
        let finish = self.finish.take()
        channel?.close(promise: nil)
        finish?(result)
    }

    func received(_ head: HTTPResponseHead) { self.head = head }

    func received(_ part: inout ByteBuffer) {
        guard body.count + part.readableBytes <= PeerLimits.answerBytes else {
            return end(.failure(PeerFailure.answerTooLarge))
        }
        body.append(contentsOf: part.readableBytesView)
    }

    func completed() {
        guard let head, let asked else { return }
        let roundTrip = Duration.nanoseconds((NIODeadline.now() - asked).nanoseconds)
        end(.success(Answer(status: Int(head.status.code), headers: head.headers, body: body, roundTrip: roundTrip)))
    }

    func closed(_ error: (any Error)?) { end(.failure(error ?? PeerFailure.closed)) }
}
