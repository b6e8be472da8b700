internal import Base
internal import EtcdProto
internal import Logging
internal import MVCC
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import RaftCore
internal import RaftProto

/// Serves one connection of a peer: one request after the other, until one of them becomes a stream. Used on its event
/// loop only.
final class PeerServerHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let core: TransportCore
    private let endpoints: PeerEndpoints
    private let outlet: StreamOutlet
    private var state = State.idle
    /// Whether the caller wants to ask more over this connection.
    private var keepsAlive = true

    private enum State {
        case idle
        /// The answer has been given already; the rest of the request is passed over.
        case refused
        case post(PeerIntroduction, ByteBuffer)
        case snapshot(SnapshotIntake)
        case question(PeerRoute, HTTPRequestHead, [UInt8])
        /// A member's question for the database, and then the answer.
        case awaitingDatabase(MemberID)
        case database(DatabaseAnswer)
        case stream(OutgoingStream, Peer)
    }

    /// - Parameter outlet: the channel's, for a response that becomes a stream.
    init(_ core: TransportCore, _ endpoints: PeerEndpoints, outlet: StreamOutlet) {
        self.core = core
        self.endpoints = endpoints
        self.outlet = outlet
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            do throws(PeerRefusal) { try begin(head, context) } catch { refuse(error, context) }
        case .body(var body): received(&body, context)
        case .end: ended(context)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if case .stream(let stream, _) = state, context.channel.isWritable { stream.writable() }
        if case .database(let answer) = state { answer.writable() }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        switch state {
        case .stream(let stream, let peer): peer.detach(stream)
        case .snapshot(let intake): intake.abort()
        case .database(let answer): answer.close()
        case .idle, .refused, .post, .question, .awaitingDatabase: break
        }
        state = .idle
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // A stream's reader says nothing; its writer finds out by itself whether it still reads.
        if event is IdleStateHandler.IdleStateEvent, case .stream = state { return }
        if event is IdleStateHandler.IdleStateEvent, case .database(let answer) = state, answer.getsOn() { return }
        if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
    }

    /// The peer went away, or sent what is no HTTP.
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    // MARK: Requests

    private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) throws(PeerRefusal) {
        keepsAlive = head.isKeepAlive
        let route = try PeerRoute(uri: head.uri)
        if let method = route.method, head.method.rawValue != method {
            throw .methodNotAllowed(allow: method)
        }
        guard route.isGuarded else {
            state = .question(route, head, [])
            return
        }
        let introduction = PeerIntroduction { head.headers.first(name: $0) }
        do throws(PeerRefusal) { try introduction.check(for: core.identity) } catch {
            core.logger.warning(
                "rejected request from remote peer",
                metadata: [
                    "remote-peer-id": "\(head.headers.first(name: PeerHeader.from) ?? "")",
                    "remote-peer-cluster-id": "\(introduction.clusterID ?? "")", "error": "\(error.text)",
                ])
            throw error
        }
        switch route {
        case .stream(let kind, let from): try attach(kind, from, introduction, context)
        case .database: try beginDatabase(introduction)
        case .snapshot:
            core.remember(introduction)
            beginSnapshot(context)
        default:
            core.remember(introduction)
            state = .post(introduction, ByteBuffer())
        }
    }

    private func attach(
        _ kind: StreamKind, _ from: MemberID, _ introduction: PeerIntroduction, _ context: ChannelHandlerContext
    ) throws(PeerRefusal) {
        if core.removedMembers.contains(from) { throw .removedMember }
        guard let peer = core.peer(from) else {
            core.remember(introduction)
            throw .senderNotFound
        }
        guard introduction.to == core.identity.localID.description else { throw .toFieldMismatch }
        let headers = HTTPHeaders([
            (PeerHeader.version, core.identity.version.description),
            (PeerHeader.clusterID, core.identity.clusterID.description), ("Transfer-Encoding", "chunked"),
        ])
        let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: headers)
        context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
        let stream = OutgoingStream(kind, channel: context.channel, outlet: outlet)
        state = .stream(stream, peer)
        peer.attach(stream)
    }

    private func beginDatabase(_ introduction: PeerIntroduction) throws(PeerRefusal) {
        guard let from = introduction.from, core.peer(from) != nil else { throw .senderNotFound }
        state = .awaitingDatabase(from)
    }

    private func beginSnapshot(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.channel.widenForDatabase()
        let intake = SnapshotIntake(core) { bound.value.channel.pauseReading($0) }
        state = .snapshot(intake)
    }

    private func received(_ body: inout ByteBuffer, _ context: ChannelHandlerContext) {
        switch state {
        case .idle, .refused, .stream, .awaitingDatabase, .database: break
        case .post(let introduction, var buffer):
            state = .refused
            guard buffer.readableBytes + body.readableBytes <= PeerLimits.messageBytes else {
                return refuse(.badRequest("error reading raft message"), context)
            }
            buffer.writeBuffer(&body)
            state = .post(introduction, buffer)
        case .snapshot(let intake): intake.received(&body)
        case .question(let route, let head, var bytes):
            state = .refused
            guard bytes.count + body.readableBytes <= PeerLimits.questionBytes else {
                return refuse(.tooLarge, context)
            }
            bytes.append(contentsOf: body.readableBytesView)
            state = .question(route, head, bytes)
        }
    }

    private func ended(_ context: ChannelHandlerContext) {
        switch state {
        case .idle, .stream, .database: break
        case .awaitingDatabase(let member):
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            endpoints.database { [weak self] in self?.answer($0, to: member, bound.value) }
        case .refused: state = .idle
        case .post(let introduction, var buffer):
            state = .idle
            accept(&buffer, from: introduction.from, context)
        case .snapshot(let intake):
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            intake.end { [weak self] result in
                guard let self else { return }
                state = .idle
                switch result {
                case .success(let message):
                    core.receive(message)
                    respond(PeerResponse(204, clusterID: core.identity.clusterID), bound.value)
                case .failure(let refusal): refuse(refusal, bound.value)
                }
            }
        case .question(let route, let head, let body):
            state = .idle
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            endpoints.answer(route, head, body) { [weak self] in self?.respond($0, bound.value) }
        }
    }

    private func accept(_ buffer: inout ByteBuffer, from sender: MemberID?, _ context: ChannelHandlerContext) {
        let message: Message
        let bytes = buffer.readableBytes
        do throws(StreamError) { message = try Message(reading: bytes, from: &buffer) } catch {
            core.record(of: sender).value.receiveFailures += 1
            return refuse(.badRequest("error unmarshalling raft message"), context)
        }
        if let refusal = core.refusal(of: message) { return refuse(refusal, context) }
        core.record(of: message.from).value.receivedBytes += UInt64(bytes)
        core.receive(message)
        respond(PeerResponse(204, clusterID: core.identity.clusterID), context)
    }

    private func answer(
        _ database: Result<BackendSnapshot, EtcdError>, to member: MemberID, _ context: ChannelHandlerContext
    ) {
        switch database {
        case .failure(let error): refuse(.failed(error.message), context)
        case .success(let copy):
            guard case .awaitingDatabase = state, context.channel.isActive else { return copy.copy.close() }
            guard core.databasesGiven < PeerLimits.databases else {
                copy.copy.close()
                return refuse(.failed(EtcdError.tooManyRequests.message), context)
            }
            let answer = DatabaseAnswer(copy, to: member, over: context.channel, core: core)
            state = .database(answer)
            answer.start()
        }
    }

    // MARK: Responses

    private func refuse(_ refusal: PeerRefusal, _ context: ChannelHandlerContext) {
        state = .refused
        respond(PeerResponse(refusal, clusterID: core.identity.clusterID), context)
    }

    private func respond(_ response: PeerResponse, _ context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        var headers = HTTPHeaders(response.headers)
        if response.status != 204 { headers.add(name: "Content-Length", value: String(response.body.count)) }
        let closes = response.status == 500 || !keepsAlive
        if closes { headers.add(name: "Connection", value: "close") }
        let head = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !response.body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: response.body)))), promise: nil)
        }
        let done = closes ? context.eventLoop.makePromise(of: Void.self) : nil
        if let done {
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            done.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: done)
    }
}
