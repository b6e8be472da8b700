package import Base
internal import EtcdProto
package import Platform

/// An open segment.
package struct SegmentFile {
    package var name: SegmentName
    package var path: String
    package var file: any DiskFile

    package init(name: SegmentName, path: String, file: any DiskFile) {
        self.name = name
        self.path = path
        self.file = file
    }
}

/// Reads the records of consecutive segments and checks each of them.
///
/// Invariants: `offset` is the end of the last good record of the current segment; `crc` covers the data of all records
/// that were returned.
package struct RecordReader {
    package struct Record {
        package var type: Int64
        package var crc: UInt32
        /// Where the data lie in the reader's `buffer`, until the next call.
        package var data: Range<Int>
        /// The frame's place.
        package var segment: Int
        package var offset: Int64
    }

    private let segments: [SegmentFile]
    private let endsLog: Bool
    package private(set) var buffer: [UInt8] = []
    /// The place of the buffer's first byte in the current segment.
    private var bufferOffset: Int64 = 0
    package private(set) var segment = 0
    package private(set) var offset: Int64 = 0
    private var size: Int64
    package private(set) var crc = CRC32C()

    /// Read at once, unless a record is larger.
    private static let chunk: Int64 = 1 << 20
    /// What a disk writes as a whole.
    private static let sector: Int64 = 512

    /// - Parameter endsLog: whether the last of the segments is the log's last, which a crash may have torn.
    package init(_ segments: [SegmentFile], endsLog: Bool = true) throws(WALError) {
        precondition(!segments.isEmpty)
        self.endsLog = endsLog
        self.segments = segments
        size = try onDisk { () throws(DiskError) in try segments[0].file.size() }
    }

    /// The next record; nil at the end of the last segment. A zero length word ends a segment, as its end does.
    package mutating func next() throws(WALError) -> Record? {
        while true {
            if size > offset {
                guard size - offset >= 8 else { throw unexpectedEnd(needed: 8) }
                try load(8)
                let word = word(at: Int(offset - bufferOffset))
                if word != 0 { return try record(word) }
            }
            guard segment + 1 < segments.count else { return nil }
            segment += 1
            let file = segments[segment].file
            size = try onDisk { () throws(DiskError) in try file.size() }
            offset = 0
            buffer = []
            bufferOffset = 0
        }
    }

    private mutating func record(_ word: UInt64) throws(WALError) -> Record {
        let count = Int64(word & 0x00FF_FFFF_FFFF_FFFF)
        let padding = word >> 63 == 1 ? Int64((word >> 56) & 7) : 0
        let total = 8 + count + padding
        guard total <= size - offset else { throw unexpectedEnd(needed: total) }
        try load(total)
        let start = Int(offset - bufferOffset) + 8
        let body = start..<(start + Int(count))
        var type: UInt64 = 0
        var stored: UInt64 = 0
        var data = start..<start
        do throws(WireError) {
            var cursor = WireCursor(body)
            while let (field, value) = try cursor.next(in: buffer.span) {
                switch (field, value) {
                case (1, .varint(let number)): type = number
                case (2, .varint(let number)): stored = number
                case (3, .bytes(let range)): data = range
                case (1...3, _): throw .unexpectedWireType(field: field)
                default: break
                }
            }
            if stored > UInt64(UInt32.max) { throw .outOfRange(field: 2) }
        } catch {
            if isTorn(total) { throw unexpectedEnd(needed: total) }
            throw .malformed(file: fileName, offset: offset, reason: error)
        }
        let record = Record(
            type: Int64(bitPattern: type), crc: UInt32(stored), data: data, segment: segment, offset: offset)
        try check(record, total)
        offset += total
        return record
    }

    /// Reads the message in a record, the one returned last.
    func decode<Message>(
        _ record: Record, _ body: (_ bytes: [UInt8], _ range: Range<Int>) throws(WireError) -> Message
    ) throws(WALError) -> Message {
        do throws(WireError) {
            return try body(buffer, record.data)
        } catch {
            throw .malformed(file: fileName, offset: record.offset, reason: error)
        }
    }

    private mutating func check(_ record: Record, _ total: Int64) throws(WALError) {
        var computed = crc
        if record.type == RecordType.crc.rawValue {
            // A reader that starts in the middle of the log knows no checksum yet and takes the one that it finds.
            if computed.value == 0 { computed = CRC32C(record.crc) }
        } else {
            computed.update(buffer.span.bytes.extracting(record.data))
            if computed.value != record.crc, isTorn(total) { throw unexpectedEnd(needed: total) }
        }
        guard computed.value == record.crc else {
            throw .checksumMismatch(file: fileName, offset: offset, expected: record.crc, found: computed.value)
        }
        crc = computed
    }

    /// Whether a crash in the middle of the write explains a bad record: in the last segment, when one of the sectors
    /// that it lies in has nothing but zeros of it.
    private func isTorn(_ total: Int64) -> Bool {
        guard isInTail else { return false }
        var at = offset + 8
        let end = offset + total
        while at < end {
            let next = min(end, (at / RecordReader.sector + 1) * RecordReader.sector)
            if buffer[Int(at - bufferOffset)..<Int(next - bufferOffset)].allSatisfy({ $0 == 0 }) { return true }
            at = next
        }
        return false
    }

    /// Makes sure that `count` bytes from `offset` on are in the buffer.
    private mutating func load(_ count: Int64) throws(WALError) {
        if offset >= bufferOffset, offset + count <= bufferOffset + Int64(buffer.count) { return }
        let wanted = Int(min(max(count, RecordReader.chunk), size - offset))
        let file = segments[segment].file
        let start = offset
        var bytes = try onDisk { () throws(DiskError) in try file.read(at: start, count: wanted) }
        while bytes.count < wanted {
            let done = bytes.count
            let more = try onDisk { () throws(DiskError) in
                try file.read(at: start + Int64(done), count: wanted - done)
            }
            if more.isEmpty { break }
            bytes += more
        }
        buffer = bytes
        bufferOffset = offset
        guard Int64(bytes.count) >= count else { throw unexpectedEnd(needed: count) }
    }

    private func word(at index: Int) -> UInt64 {
        var word: UInt64 = 0
        for i in 0..<8 { word |= UInt64(buffer[index + i]) << UInt64(8 * i) }
        return word
    }

    private var isInTail: Bool { endsLog && segment + 1 == segments.count }

    package var fileName: String { segments[segment].name.description }

    private func unexpectedEnd(needed: Int64) -> WALError {
        .unexpectedEnd(
            file: fileName, offset: offset, needed: needed, available: size - offset,
            isTail: isInTail)
    }
}

/// Runs disk calls and makes their errors the log's.
func onDisk<R>(_ body: () throws(DiskError) -> R) throws(WALError) -> R {
    do throws(DiskError) {
        return try body()
    } catch {
        throw .disk(error)
    }
}
