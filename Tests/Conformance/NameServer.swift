import Glibc
import NIOCore
import NIOPosix

/// A DNS server for one test: it knows some SRV and A records, and says of everything else that it does not exist.
/// Port 53 of a loopback address of its own, so it takes the right to listen there.
final class NameServer: Sendable {
    struct Records: Sendable {
        /// By lower-case name without the point at the end.
        var services: [String: [(target: String, port: Int)]] = [:]
        var addresses: [String: [UInt8]] = [:]
    }

    let address: String
    private let channel: any Channel

    private init(_ address: String, _ channel: any Channel) {
        self.address = address
        self.channel = channel
    }

    /// - Returns: nil when this process may not listen there.
    static func start(_ records: Records) async throws -> NameServer? {
        let pid = getpid()
        let address = "127.53.\(pid >> 8 & 255).\(pid & 255)"
        let bootstrap = DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(Answering(records: records))
            }
        }
        do {
            return NameServer(address, try await bootstrap.bind(host: address, port: 53).get())
        } catch let error as IOError where [EACCES, EPERM].contains(error.errnoCode) {
            return nil
        }
    }

    func stop() async { try? await channel.close().get() }

    private final class Answering: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        typealias OutboundOut = AddressedEnvelope<ByteBuffer>

        private static let address: UInt16 = 1
        private static let service: UInt16 = 33
        private static let unknownName: UInt16 = 3

        let records: Records

        init(records: Records) { self.records = records }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            var query = envelope.data
            guard let answer = answer(&query) else { return }
            context.writeAndFlush(
                wrapOutboundOut(AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: answer)), promise: nil)
        }

        /// Answers the one question of a query; nil for what is none.
        private func answer(_ query: inout ByteBuffer) -> ByteBuffer? {
            guard let id = query.readInteger(as: UInt16.self), query.readSlice(length: 10) != nil else { return nil }
            var labels: [String] = []
            while let count = query.readInteger(as: UInt8.self), count > 0 {
                guard let label = query.readString(length: Int(count)) else { return nil }
                labels.append(label)
            }
            guard let type = query.readInteger(as: UInt16.self), query.readInteger(as: UInt16.self) != nil else {
                return nil
            }
            let name = labels.joined(separator: ".").lowercased()
            var data: [[UInt8]] = []
            if type == Self.service {
                data = (records.services[name] ?? []).map { record in
                    [0, 0, 0, 0, UInt8(record.port >> 8), UInt8(record.port & 255)]
                        + Self.encoded(record.target.split(separator: ".").map(String.init))
                }
            } else if type == Self.address, let address = records.addresses[name] {
                data = [address]
            }
            let exists = records.services[name] != nil || records.addresses[name] != nil
            var out = ByteBuffer()
            out.writeInteger(id)
            out.writeInteger(0x8580 | (exists ? 0 : Self.unknownName))
            out.writeMultipleIntegers(UInt16(1), UInt16(data.count), UInt16(0), UInt16(0))
            out.writeBytes(Self.encoded(labels))
            out.writeMultipleIntegers(type, UInt16(1))
            for record in data {
                // The name is the one of the question.
                out.writeMultipleIntegers(UInt16(0xC00C), type, UInt16(1), UInt32(0), UInt16(record.count))
                out.writeBytes(record)
            }
            return out
        }

        private static func encoded(_ labels: [String]) -> [UInt8] {
            labels.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
        }
    }
}
