import Base
import HTTP2
import NIOCore
import NIOEmbedded
import Testing

/// Whatever a client sends, the server neither traps nor leaves a call hanging, and its books balance.
@Suite struct FuzzTests {
    private static func limits() -> ServerConfiguration {
        var configuration = ServerConfiguration()
        configuration.maxMessageBytes = 5000
        configuration.maxOpenStreams = 50
        configuration.maxHeldRequestBytes = 20_000
        configuration.maxQueuedResponseBytes = 50_000
        configuration.resetBurst = 200
        return configuration
    }

    @Test(arguments: UInt64(0)..<24) func survivesGarbage(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let connection = try RawConnection(Self.limits())
        _ = try connection.send(Frame.hello)
        for _ in 0..<50 where connection.isOpen {
            _ = try connection.send((0..<random.next(below: 300)).map { _ in UInt8(random.next(below: 256)) })
        }
        checkEnd(connection, seed)
    }

    /// Good calls in random pieces, with a few bytes changed, frames repeated, dropped and out of order.
    @Test(arguments: UInt64(0)..<60) func survivesMutations(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let connection = try RawConnection(Self.limits())
        var frames = [Frame.hello]
        var stream: UInt32 = 1
        for _ in 0..<60 {
            switch random.next(below: 12) {
            case 0: frames.append(Frame.reset(UInt32(random.next(below: Int(stream) + 2))))
            case 1:
                frames.append(
                    Frame.windowUpdate(random.chance(1, in: 2) ? 0 : stream, UInt32(random.next(below: 70_000))))
            case 2:
                frames.append(
                    Frame.settings([(UInt16(1 + random.next(below: 6)), UInt32(random.next(below: 100_000)))]))
            case 3: frames.append(Frame.ping())
            case 4: frames.append(Frame.priority(stream))
            default:
                let method = TestService.Method.allCases[random.next(below: 4)]
                let size = random.next(below: 3000)
                let body = method == .size ? [0, 0, UInt8(random.next(below: 100)), 7] : pattern(size)
                let fields = Call.fields(method.path, random.chance(1, in: 4) ? [("grpc-timeout", "5m")] : [])
                frames.append(Frame.headers(stream, fields))
                let message = Call.message(body)
                let cut = random.next(below: message.count)
                frames.append(Frame.data(stream, Array(message[..<cut])))
                frames.append(Frame.data(stream, Array(message[cut...]), end: true))
                stream += 2
            }
        }
        for _ in 0..<random.next(below: 4) {
            let index = 1 + random.next(below: frames.count - 1)
            switch random.next(below: 4) {
            case 0: frames.remove(at: index)
            case 1: frames.insert(frames[index], at: index)
            case 2: frames.swapAt(index, 1 + random.next(below: frames.count - 1))
            default:
                let at = random.next(below: frames[index].count)
                frames[index][at] ^= UInt8(1 << random.next(below: 8))
            }
        }
        var bytes = frames.flatMap { $0 }[...]
        while !bytes.isEmpty && connection.isOpen {
            let count = min(bytes.count, 1 + random.next(below: 4000))
            _ = try connection.send(Array(bytes.prefix(count)))
            bytes = bytes.dropFirst(count)
            if random.chance(1, in: 4) { connection.service.release() }
            if random.chance(1, in: 8) { _ = try connection.advance(.milliseconds(3)) }
        }
        checkEnd(connection, seed)
    }

    /// Every call that the service got ends once: by its answer, or by a cancellation.
    private func checkEnd(_ connection: RawConnection, _ seed: UInt64) {
        let service = connection.service
        service.release()
        connection.loop.run()
        connection.channel.pipeline.fireChannelInactive()
        #expect(service.opened == service.closed, "seed \(seed)")
        let cancelled = service.cancelled
        #expect(Set(cancelled).count == cancelled.count, "seed \(seed)")
        #expect(Set(cancelled).isSubset(of: service.received.map(\.stream)), "seed \(seed)")
    }
}
