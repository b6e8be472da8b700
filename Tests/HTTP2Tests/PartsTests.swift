import Base
import HTTP2
import NIOCore
import Testing

@Suite struct PartsTests {
    @Test(arguments: [
        ("1H", TimeAmount.hours(1)), ("2M", .minutes(2)), ("3S", .seconds(3)), ("4m", .milliseconds(4)),
        ("5u", .microseconds(5)), ("6n", .nanoseconds(6)), ("00000007S", .seconds(7)),
        ("99999999H", GRPCTimeout.longest),
    ]) func parsesTimeout(_ text: String, _ amount: TimeAmount) throws {
        #expect(try GRPCTimeout.parse(Array(text.utf8)) == amount)
    }

    @Test(arguments: [
        ("", GRPCTimeout.Malformed.tooShort), ("S", .tooShort), ("123456789S", .tooLong), ("1s", .unknownUnit),
        ("12", .unknownUnit), ("1.5S", .notANumber), ("+1S", .notANumber), ("-1S", .notANumber), (" 1S", .notANumber),
    ]) func refusesTimeout(_ text: String, _ error: GRPCTimeout.Malformed) {
        #expect(throws: error) { try GRPCTimeout.parse(Array(text.utf8)) }
    }

    @Test(arguments: [
        (TimeAmount.nanoseconds(0), "0n"), (.nanoseconds(-1), "0n"), (.nanoseconds(99_999_999), "99999999n"),
        (.milliseconds(100), "100000u"), (.seconds(5), "5000000u"), (.seconds(100), "100000m"),
        (.nanoseconds(100_000_001), "100001u"), (.hours(24 * 365), "31536000S"),
    ]) func encodesTimeout(_ amount: TimeAmount, _ text: String) throws {
        #expect(GRPCTimeout.encode(amount) == text)
        if amount.nanoseconds >= 0 { #expect(try GRPCTimeout.parse(Array(text.utf8)) >= amount) }
    }

    @Test(arguments: [
        ("", ""), ("plain text", "plain text"), ("100%", "100%25"), ("ü\n", "%C3%BC%0A"), ("~\u{7f}", "~%7F"),
    ]) func escapesMessage(_ text: String, _ encoded: String) {
        #expect(String(decoding: PercentEncoding.encode(text), as: UTF8.self) == encoded)
        #expect(PercentEncoding.decode(Array(encoded.utf8)) == text)
    }

    @Test(arguments: [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%41%", "A%"), ("%c3%bc", "ü")])
    func decodesLeniently(_ encoded: String, _ text: String) {
        #expect(PercentEncoding.decode(Array(encoded.utf8)) == text)
    }

    @Test(arguments: [UInt64(1), 2, 3, 4]) func readsWhatWasWritten(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<50 {
            let message = pattern(random.next(below: 70_000))
            var writer = MessageWriter(message: ([1, 2] + message)[2...])
            var reader = MessageReader()
            while writer.remaining > 0 {
                var buffer = ByteBuffer()
                writer.write(1 + random.next(below: min(writer.remaining, 20_000)), to: &buffer)
                #expect(reader.append(Array(buffer.readableBytesView), limit: 70_000) == nil)
            }
            #expect(reader.isComplete && !reader.hasSurplus, "seed \(seed)")
            #expect(try reader.message(encoding: .identity, limit: 70_000) == message, "seed \(seed)")
        }
    }

    @Test(arguments: [UInt64(1), 2, 3]) func refusesDamagedGzip(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let plain = pattern(3000)
        let packed = Gzip.compress(plain)
        #expect(try Gzip.decompress(packed, limit: 3000) == plain)
        #expect(try Gzip.decompress(packed + packed, limit: 6000) == plain + plain)
        for _ in 0..<200 {
            var damaged = packed
            if random.chance(1, in: 3) {
                damaged.removeLast(1 + random.next(below: damaged.count - 1))
            } else {
                damaged[random.next(below: damaged.count)] ^= UInt8(1 + random.next(below: 255))
            }
            // A changed time stamp or flag in the header harms nothing; anything else is found.
            if let result = try? Gzip.decompress(damaged, limit: 3000) { #expect(result == plain, "seed \(seed)") }
        }
        #expect(throws: Gzip.Failure.self) { try Gzip.decompress([], limit: 10) }
    }

    @Test func refillsBySeconds() {
        var now = NIODeadline.uptimeNanoseconds(5)
        var bucket = TokenBucket(burst: 3, perSecond: 2, now: now)
        func take(_ count: Int) -> Int { (0..<count).filter { _ in bucket.take(now: now) }.count }
        #expect(take(5) == 3)
        now = now + .milliseconds(999)
        #expect(take(1) == 0)
        now = now + .milliseconds(1)
        #expect(take(5) == 2)
        now = now + .hours(1_000_000)
        #expect(take(5) == 3)
    }

    @Test func judgesPings() {
        let second = TimeAmount.seconds(1)
        var now = NIODeadline.uptimeNanoseconds(0)
        func policy() -> PingPolicy { PingPolicy(minTime: .seconds(5), permitWithoutStream: false) }
        func pings(_ policy: inout PingPolicy, every interval: TimeAmount, open: Bool, _ count: Int) -> Int {
            (0..<count).filter { _ in
                now = now + interval
                return policy.receivePing(now: now, hasOpenCalls: open)
            }.count
        }
        var slow = policy()
        #expect(pings(&slow, every: .seconds(5), open: true, 20) == 20)
        // The first has nothing before it, two more are let pass.
        var fast = policy()
        #expect(pings(&fast, every: second, open: true, 4) == 3)
        var idle = policy()
        #expect(pings(&idle, every: .minutes(1), open: false, 4) == 3)
        var rare = policy()
        #expect(pings(&rare, every: .hours(2), open: false, 20) == 20)
        var busy = policy()
        for _ in 0..<20 {
            busy.noteServerSentData()
            #expect(pings(&busy, every: second, open: true, 1) == 1)
        }
    }
}
