internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Platform

/// A hash of the store that a client or another member waits for.
struct AwaitedHash {
    var address: ReplyAddress
    /// `HashKVRequest`, encoded.
    var request: [UInt8]
    var begun: Instant
    var deadline: Instant
    /// Nil until it is its turn, and after the store has been replaced.
    var run: HashRun?
}

// Hashes read every row, so they are worked out a slice a turn, one after the other.
extension MemberCore {
    /// The pause between two slices of a hash, so that requests come in between.
    static let hashPause: Duration = .microseconds(300)

    func orderHash(_ request: [UInt8], for address: ReplyAddress, until deadline: Instant) throws(EtcdError) {
        guard hashes.count < MemberLimits.awaitedHashes else { throw .tooManyRequests }
        hashes.append(AwaitedHash(address: address, request: request, begun: now, deadline: deadline))
        // Most are done with their first slice.
        if hashes.count == 1 { nextHashSlice = now }
    }

    func workOnHashes() {
        while var first = hashes.first, now >= nextHashSlice {
            do throws(StoreError) {
                var run: HashRun
                if let begun = first.run { run = begun } else { run = try applier.store.beginHash(first.request) }
                guard let hash = try applier.store.hashStep(&run) else {
                    first.run = run
                    hashes[0] = first
                    nextHashSlice = now + Self.hashPause
                    return
                }
                figures.hashKV.observe(Double((now - first.begun).inNanoseconds) / 1e9)
                outbox.answer(first.address) { [applier, header] out in
                    applier.store.append(hash, header: header, to: &out)
                }
            } catch {
                outbox.refuse(first.address, clientError(error))
            }
            hashes.removeFirst()
        }
    }

    /// Gives up those that took too long.
    func expireHashes() {
        guard !hashes.isEmpty else { return }
        for hash in hashes where now >= hash.deadline { outbox.refuse(hash.address, .timeout) }
        hashes.removeAll { now >= $0.deadline }
    }

    /// The store has been replaced: what was read of the former one counts no more.
    func restartHashes() {
        for i in hashes.indices { hashes[i].run = nil }
    }

    func refuseHashes() {
        for hash in hashes { outbox.refuse(hash.address, .stopped) }
        hashes.removeAll()
    }
}
