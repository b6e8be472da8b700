import Base
import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport

/// What a client was told about its writes, and what must therefore be in the store after any crash.
struct WriteLedger: Sendable {
    struct Acknowledged: Sendable {
        var value: Data
        var revision: Int64
    }

    /// By key: the put that was acknowledged, and not deleted since.
    var present: [String: Acknowledged] = [:]
    /// Keys whose delete was acknowledged.
    var deleted: Set<String> = []
    /// What was on its way when the server went down: it may have happened or not.
    var uncertainPuts: [String: Data] = [:]
    var uncertainDeletes: Set<String> = []
    /// By counter: how often an increment was acknowledged, and whether one more may have happened.
    var counters: [String: (acknowledged: Int, uncertain: Bool)] = [:]
    var highestRevision: Int64 = 0
    var acknowledgedWrites = 0

    mutating func merge(_ other: WriteLedger) {
        present.merge(other.present) { $1 }
        deleted.formUnion(other.deleted)
        for key in other.deleted.union(other.uncertainDeletes) { present[key] = nil }
        uncertainPuts.merge(other.uncertainPuts) { $1 }
        uncertainDeletes.formUnion(other.uncertainDeletes)
        counters.merge(other.counters) { $1 }
        highestRevision = max(highestRevision, other.highestRevision)
        acknowledgedWrites += other.acknowledgedWrites
    }

    /// Everything in which the store disagrees with the ledger.
    func disagreements(with response: Etcdserverpb_RangeResponse) -> [String] {
        var found: [String] = []
        var stored: [String: Mvccpb_KeyValue] = [:]
        for kv in response.kvs { stored[String(decoding: kv.key, as: UTF8.self)] = kv }
        if response.header.revision < highestRevision {
            found.append("revision \(response.header.revision) after revision \(highestRevision) was acknowledged")
        }
        for (key, put) in present.sorted(by: { $0.key < $1.key }) {
            guard let kv = stored[key] else {
                found.append("lost: \(key), acknowledged at revision \(put.revision)")
                continue
            }
            if kv.value != put.value { found.append("\(key): \(kv.value.count) other bytes than those acknowledged") }
            if kv.modRevision != put.revision || kv.createRevision != put.revision || kv.version != 1 {
                found.append(
                    "\(key): put once at \(put.revision); stored: created \(kv.createRevision), modified"
                        + " \(kv.modRevision), version \(kv.version)")
            }
        }
        for key in deleted.sorted() where stored[key] != nil { found.append("back again: \(key)") }
        for (counter, state) in counters.sorted(by: { $0.key < $1.key }) {
            let count = Int(String(decoding: stored[counter]?.value ?? Data("0".utf8), as: UTF8.self))
            let allowed = state.acknowledged...(state.acknowledged + (state.uncertain ? 1 : 0))
            if !allowed.contains(count ?? -1) {
                found.append("\(counter): \(count ?? -1) increments, \(allowed) expected")
            }
        }
        for (key, kv) in stored.sorted(by: { $0.key < $1.key })
        where present[key] == nil && counters[key] == nil && !uncertainDeletes.contains(key) {
            if uncertainPuts[key] != kv.value { found.append("nobody wrote \(key)") }
        }
        return found
    }

    /// Takes over what became of the uncertain writes.
    mutating func settle(with response: Etcdserverpb_RangeResponse) {
        for kv in response.kvs {
            let key = String(decoding: kv.key, as: UTF8.self)
            if counters[key] != nil {
                counters[key] = (Int(String(decoding: kv.value, as: UTF8.self)) ?? 0, false)
            } else if present[key] == nil {
                present[key] = Acknowledged(value: kv.value, revision: kv.modRevision)
            }
        }
        for (counter, state) in counters where state.uncertain { counters[counter] = (state.acknowledged, false) }
        deleted.formUnion(uncertainDeletes.filter { present[$0] == nil })
        uncertainPuts = [:]
        uncertainDeletes = []
    }
}

/// One of several clients that write at the same time, until the server is gone.
struct LedgerWriter {
    private let counter: String
    private let keyPrefix: String
    private let client: UnaryClient
    private var random: SeededGenerator
    private var ledger = WriteLedger()
    private var written: [String] = []

    /// - Parameters:
    ///   - counter: a key that only this writer increments.
    ///   - count: its value now; 0 if it does not exist.
    ///   - keyPrefix: of keys that nobody else writes, now or later.
    init(counter: String, count: Int, keyPrefix: String, client: UnaryClient, seed: UInt64) {
        self.counter = counter
        self.keyPrefix = keyPrefix
        self.client = client
        random = SeededGenerator(seed: seed)
        ledger.counters[counter] = (count, false)
    }

    /// Writes until a call fails, and tells what was acknowledged.
    mutating func run() async throws -> WriteLedger {
        var number = 0
        while true {
            number += 1
            let goesOn =
                switch number % 8 {
                case 3: try await increment()
                case 7 where written.count > 4: try await delete()
                default: try await put(number)
                }
            guard goesOn else { return ledger }
            ledger.acknowledgedWrites += 1
        }
    }

    private mutating func put(_ number: Int) async throws -> Bool {
        let key = "\(keyPrefix)\(number)"
        let size = random.chance(1, in: 25) ? 30_000 : 20 + random.next(below: 300)
        let value = Data(repeating: UInt8(random.next(below: 256)), count: size) + Data(key.utf8)
        let request = KVRequest.put(
            .with {
                $0.key = Data(key.utf8)
                $0.value = value
            })
        guard case .put(let response) = try await client.call(request) else {
            ledger.uncertainPuts[key] = value
            return false
        }
        ledger.present[key] = WriteLedger.Acknowledged(value: value, revision: response.header.revision)
        ledger.highestRevision = max(ledger.highestRevision, response.header.revision)
        written.append(key)
        return true
    }

    private mutating func delete() async throws -> Bool {
        let key = written.remove(at: random.next(below: written.count))
        guard case .deleteRange(let response) = try await client.call(EdgeCase.delete(key)) else {
            ledger.present[key] = nil
            ledger.uncertainDeletes.insert(key)
            return false
        }
        // If it was not there any more, the comparison afterwards reports it as lost.
        guard response.deleted == 1 else { return false }
        ledger.present[key] = nil
        ledger.deleted.insert(key)
        ledger.highestRevision = max(ledger.highestRevision, response.header.revision)
        return true
    }

    /// Adds one in a transaction that succeeds only from the value known: applied twice, or not at all, it would show.
    private mutating func increment() async throws -> Bool {
        let counter = counter
        let count = ledger.counters[counter]?.acknowledged ?? 0
        let request = KVRequest.txn(
            .with {
                $0.compare = [
                    .with {
                        $0.key = Data(counter.utf8)
                        if count == 0 {
                            $0.target = .version
                            $0.version = 0
                        } else {
                            $0.target = .value
                            $0.value = Data(String(count).utf8)
                        }
                    }
                ]
                $0.success = [
                    .with {
                        $0.requestPut.key = Data(counter.utf8)
                        $0.requestPut.value = Data(String(count + 1).utf8)
                    }
                ]
            })
        switch try await client.call(request) {
        case .txn(let response) where response.succeeded:
            ledger.counters[counter] = (count + 1, false)
            ledger.highestRevision = max(ledger.highestRevision, response.header.revision)
            return true
        case .txn:
            // The counter is not what was acknowledged: the comparison afterwards reports it.
            ledger.counters[counter] = (count, false)
            ledger.acknowledgedWrites -= 1
            return false
        default:
            ledger.counters[counter] = (count, true)
            return false
        }
    }
}
