internal import Logging
internal import NIOCore

/// Connects a channel that speaks HTTP/2 to its ``ServerConnection``.
final class ServerConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let loop: ServerLoop
    private var connection: ServerConnection?

    init(loop: ServerLoop) { self.loop = loop }

    func handlerAdded(context: ChannelHandlerContext) {
        do {
            connection = try loop.register { id in try ServerConnection(id: id, loop: loop, context: context) }
        } catch {
            connection = nil
        }
        guard let connection else {
            context.close(promise: nil)
            return
        }
        connection.open()
    }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { connection?.receive(unwrapInboundIn(data)) }

    func channelReadComplete(context: ChannelHandlerContext) { connection?.endOfRead() }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { connection?.write() }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func end() {
        connection?.closed()
        connection = nil
    }
}
