internal import Base
package import EtcdProto

/// The number of a sink, given out when it first sends a request. Counted from 0.
package typealias SinkID = Int

/// Where the answer to a request goes.
package struct ReplyAddress: Sendable, Equatable {
    package var sink: SinkID
    package var ticket: UInt64

    package init(sink: SinkID, ticket: UInt64) {
        self.sink = sink
        self.ticket = ticket
    }
}

/// The answers of one turn of the loop, one batch for each sink, so that a sink is called once a turn.
package struct ResponseOutbox {
    private var batches: [ResponseBatch] = []

    package init() {}

    /// Answers with the message that `encode` appends; whatever it appends before it throws is taken back.
    package mutating func answer(
        _ address: ReplyAddress, _ encode: (inout [UInt8]) throws(EtcdError) -> Void
    ) {
        offer(address) { out throws(EtcdError) in
            try encode(&out)
            return true
        }
    }

    /// Answers with the message that `encode` appends, unless it returns false: then nothing is answered. Whatever it
    /// appends before it throws is taken back.
    package mutating func offer(
        _ address: ReplyAddress, _ encode: (inout [UInt8]) throws(EtcdError) -> Bool
    ) {
        makeRoom(for: address.sink)
        let start = batches[address.sink].bytes.count
        do throws(EtcdError) {
            guard try encode(&batches[address.sink].bytes) else { return }
            let range = start..<batches[address.sink].bytes.count
            batches[address.sink].responses.append(.init(ticket: address.ticket, range: range))
        } catch {
            batches[address.sink].bytes.removeSubrange(start...)
            refuse(address, error)
        }
    }

    /// Answers with a copy of an encoded message.
    package mutating func answer(_ address: ReplyAddress, with message: ArraySlice<UInt8>) {
        makeRoom(for: address.sink)
        let start = batches[address.sink].bytes.count
        batches[address.sink].bytes.append(contentsOf: message)
        let range = start..<batches[address.sink].bytes.count
        batches[address.sink].responses.append(.init(ticket: address.ticket, range: range))
    }

    /// Answers with a long message, without copying it.
    package mutating func answer(_ address: ReplyAddress, taking message: consuming [UInt8]) {
        makeRoom(for: address.sink)
        let count = message.count
        message.append(contentsOf: batches[address.sink].bytes)
        batches[address.sink].bytes = message
        for i in batches[address.sink].responses.indices {
            let range = batches[address.sink].responses[i].range
            batches[address.sink].responses[i].range = range.lowerBound + count..<range.upperBound + count
        }
        batches[address.sink].responses.append(.init(ticket: address.ticket, range: 0..<count))
    }

    /// Answers with a copy of the backend.
    package mutating func answer(_ address: ReplyAddress, with snapshot: BackendSnapshot) {
        makeRoom(for: address.sink)
        batches[address.sink].responses.append(.init(ticket: address.ticket, range: 0..<0, snapshot: snapshot))
    }

    package mutating func refuse(_ address: ReplyAddress, _ error: EtcdError) {
        makeRoom(for: address.sink)
        batches[address.sink].responses.append(.init(ticket: address.ticket, range: 0..<0, error: error))
    }

    /// The answer that was just given to a sink holds only as long as the state is no older than `age` allows.
    package mutating func bindLast(of sink: SinkID, to age: StateAge) {
        batches[sink].responses[batches[sink].responses.count - 1].age = age
    }

    private mutating func makeRoom(for sink: SinkID) {
        while batches.count <= sink { batches.append(ResponseBatch()) }
    }

    /// Appends every batch that is not empty, in the order of the sinks, and starts anew.
    package mutating func drain(into responses: inout [(sink: SinkID, batch: ResponseBatch)]) {
        for sink in batches.indices where !batches[sink].responses.isEmpty {
            var batch = ResponseBatch()
            swap(&batch, &batches[sink])
            responses.append((sink, batch))
        }
    }
}
