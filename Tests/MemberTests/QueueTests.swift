import Base
import EtcdProto
import Member
import Platform
import RaftCore
import Testing

@Suite("The member's queues") struct QueueTests {
    private func at(_ seconds: Int) -> Instant { Instant(nanoseconds: UInt64(seconds) * 1_000_000_000) }

    private func read(_ ticket: UInt64, deadline: Int) -> LinearizableReads.Read {
        .init(
            address: ReplyAddress(sink: 0, ticket: ticket), body: .probe(linearizable: true), deadline: at(deadline))
    }

    @Test("Request IDs are etcd's: member, start time, counter from 1, wrapping inside 48 bits")
    func requestIDs() {
        var ids = RequestIDGenerator(member: MemberID(0xcb26_3faf_f256_6314), unixMilliseconds: 0x1_20a2_0a11_d191)
        #expect(ids.next() == 0x6314_a20a_11d1_9101)
        #expect(ids.next() == 0x6314_a20a_11d1_9102)
        var last = RequestIDGenerator(member: MemberID(1), unixMilliseconds: 0xFF_FFFF_FFFF)
        for _ in 0..<255 { _ = last.next() }
        #expect(last.next() == 0x0001_0000_0000_0000)
    }

    @Test("Pending requests come out by ID, or when their time is over")
    func pending() {
        var pending = PendingRequests()
        for id in UInt64(1)...5 {
            pending.insert(id, .client(ReplyAddress(sink: 0, ticket: id * 10)), since: at(0), deadline: at(Int(id)))
        }
        guard case .client(let address)? = pending.remove(2) else {
            Issue.record("2 was pending")
            return
        }
        #expect(address.ticket == 20)
        #expect(pending.remove(2) == nil)
        #expect(pending.removeExpired(at: at(0)).isEmpty)
        let due = pending.removeExpired(at: at(4)).map { expired -> UInt64 in
            if case .client(let address) = expired.waiter { address.ticket } else { 0 }
        }
        #expect(due == [10, 30, 40])
        #expect(pending.contains(5) && !pending.contains(4))
        #expect(pending.count == 1)
        #expect(pending.removeAll().count == 1)
    }

    @Test("One round serves all reads that came before it; later ones wait for the next")
    func reads() {
        var reads = LinearizableReads()
        reads.enqueue(read(1, deadline: 9))
        reads.enqueue(read(2, deadline: 9))
        #expect(reads.needsRound(at: at(0)))
        reads.beginRound(100, at: at(0))
        reads.enqueue(read(3, deadline: 9))
        #expect(!reads.needsRound(at: at(0)))
        reads.confirm(99, at: LogIndex(4))
        #expect(reads.takeReadable(applied: .max).isEmpty)
        reads.confirm(100, at: LogIndex(5))
        #expect(reads.takeReadable(applied: LogIndex(4)).isEmpty)
        #expect(reads.takeReadable(applied: LogIndex(5)).map(\.address.ticket) == [1, 2])
        #expect(reads.needsRound(at: at(0)))
        #expect(reads.count == 1)
    }

    @Test("A round without an answer is started anew with all reads, and reads give up at their deadline")
    func slowRound() {
        var reads = LinearizableReads()
        reads.enqueue(read(1, deadline: 3))
        reads.beginRound(1, at: at(0))
        reads.enqueue(read(2, deadline: 9))
        #expect(reads.needsRound(at: at(1)))
        reads.beginRound(2, at: at(1))
        #expect(reads.slowRounds == 1)
        #expect(reads.takeExpired(at: at(3)).map(\.address.ticket) == [1])
        reads.confirm(2, at: LogIndex(1))
        #expect(reads.takeReadable(applied: LogIndex(1)).map(\.address.ticket) == [2])
    }

    @Test("Appends of one batch are merged unless one overwrites what another wrote")
    func mergedAppend() {
        func entries(_ indexes: ClosedRange<Int>, term: UInt64) -> [Entry] {
            indexes.map { Entry(term: Term(term), index: LogIndex(UInt64($0))) }
        }
        var merged = MergedAppend()
        let state = HardState(term: Term(1), vote: MemberID(1), commit: LogIndex(1))
        let taken = [
            merged.merge(sequence: 1, hardState: state, entries: entries(1...2, term: 1), sync: true),
            merged.merge(sequence: 2, hardState: nil, entries: [], sync: false),
            merged.merge(sequence: 3, hardState: nil, entries: entries(3...3, term: 1), sync: true),
            merged.merge(sequence: 4, hardState: nil, entries: entries(2...3, term: 2), sync: true),
        ]
        #expect(taken == [true, true, true, false])
        #expect(merged.sequence == 3)
        #expect(merged.entries.map(\.index.rawValue) == [1, 2, 3])
        #expect(merged.hardState == state)
        #expect(merged.sync)
    }

    @Test("Answers are collected per sink; a failed encoding leaves no bytes behind")
    func outbox() {
        var outbox = ResponseOutbox()
        outbox.answer(ReplyAddress(sink: 1, ticket: 7)) { $0.append(contentsOf: [1, 2, 3]) }
        outbox.answer(ReplyAddress(sink: 1, ticket: 8)) { bytes throws(EtcdError) in
            bytes.append(9)
            throw .compacted
        }
        outbox.answer(ReplyAddress(sink: 0, ticket: 9), with: [4, 5][...])
        var delivered: [(sink: SinkID, batch: ResponseBatch)] = []
        outbox.drain(into: &delivered)
        #expect(delivered.map(\.sink) == [0, 1])
        #expect(delivered[0].batch.bytes == [4, 5])
        #expect(delivered[1].batch.bytes == [1, 2, 3])
        #expect(delivered[1].batch.responses.map(\.error) == [nil, .compacted])
        outbox.drain(into: &delivered)
        #expect(delivered.count == 2, "nothing is left")
    }
}
