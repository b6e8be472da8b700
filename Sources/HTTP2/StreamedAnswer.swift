internal import NIOCore

/// The messages of a streamed answer that have not been sent, and the status once there will be no more.
struct StreamedAnswer {
    /// Messages on their way, oldest first; the ones before `next` have been sent.
    private var writers: [MessageWriter] = []
    private var next = 0
    /// Bytes that wait, prefixes included.
    private(set) var queued = 0
    /// Set when no more messages come.
    private(set) var status: GRPCStatus?
    /// nghttp2 found nothing to send and waits to be told of more.
    var isDeferred = false

    mutating func append(_ message: ArraySlice<UInt8>) {
        precondition(status == nil, "a message behind the end of a streamed answer")
        let writer = MessageWriter(message: message)
        queued += writer.remaining
        writers.append(writer)
    }

    mutating func end(_ status: GRPCStatus) { self.status = status }

    /// Drops what waits, for an answer that is cut short, but for the rest of a message that has begun.
    /// - Returns: how many bytes that was.
    mutating func dropQueued() -> Int {
        let begun = writers[next...].prefix { $0.hasBegun }
        let kept = begun.reduce(0) { $0 + $1.remaining }
        defer { queued = kept }
        writers = Array(begun)
        next = 0
        return queued - kept
    }

    mutating func write(_ count: Int, to output: inout ByteBuffer) {
        precondition(count <= queued)
        queued -= count
        var left = count
        while left > 0 {
            let piece = min(left, writers[next].remaining)
            writers[next].write(piece, to: &output)
            left -= piece
            if writers[next].remaining == 0 { next += 1 }
        }
        if next == writers.count {
            writers.removeAll(keepingCapacity: true)
            next = 0
        }
    }
}
