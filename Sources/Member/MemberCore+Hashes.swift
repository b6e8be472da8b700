internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Platform

/// A hash of the store that a client or another member waits for.
struct AwaitedHash {
    enum Waiter {
        case client(ReplyAddress)
        /// The member's own check.
        case check
    }

    var waiter: Waiter
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
        order(AwaitedHash(waiter: .client(address), request: request, begun: now, deadline: deadline))
    }

    /// Works out the hash of the store as it is now, for the member's own check; `ownHashed` is called with it, or
    /// `ownHashFailed`. What a compaction recorded is no substitute: it was seen through the compaction before.
    func orderOwnHash() {
        do throws(StoreError) {
            order(
                AwaitedHash(
                    waiter: .check, request: [], begun: now, deadline: Instant(nanoseconds: .max),
                    run: try applier.store.beginHash(0)))
        } catch {
            _ = clientError(error)
            ownHashFailed()
        }
    }

    private func order(_ hash: AwaitedHash) {
        hashes.append(hash)
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
                hashes.removeFirst()
                answer(first, hash)
            } catch {
                hashes.removeFirst()
                refuse(first, clientError(error))
            }
        }
    }

    private func answer(_ awaited: AwaitedHash, _ hash: KeyValueHash) {
        switch awaited.waiter {
        case .check: ownHashed(hash)
        case .client(let address):
            outbox.answer(address) { [applier, header] out in
                applier.store.append(hash, header: header, to: &out)
            }
        }
    }

    private func refuse(_ awaited: AwaitedHash, _ error: EtcdError) {
        switch awaited.waiter {
        case .check: ownHashFailed()
        case .client(let address): outbox.refuse(address, error)
        }
    }

    /// Gives up those that took too long.
    func expireHashes() {
        guard !hashes.isEmpty else { return }
        for hash in hashes where now >= hash.deadline { refuse(hash, .timeout) }
        hashes.removeAll { now >= $0.deadline }
    }

    /// The store has been replaced: what was read of the former one counts no more.
    func restartHashes() {
        let count = hashes.count
        hashes.removeAll { if case .check = $0.waiter { true } else { false } }
        if hashes.count < count { ownHashFailed() }
        for i in hashes.indices { hashes[i].run = nil }
    }

    func refuseHashes() {
        for hash in hashes { refuse(hash, .stopped) }
        hashes.removeAll()
    }
}
