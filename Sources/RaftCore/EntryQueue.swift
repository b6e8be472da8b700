internal import Base

/// A run of consecutive log entries in chunks: O(1) access and append, and dropping a prefix neither moves what stays
/// nor keeps the memory of what goes.
///
/// Invariants:
/// 1. All chunks but the last hold `chunkSize` entries.
/// 2. The first `head` entries of the first chunk are dropped and hold no data; `head < chunkSize`.
/// 3. Empty means no chunks, or a first chunk that is kept for its capacity.
struct EntryQueue: Sendable {
    static let chunkSize = 256

    private var chunks: [[Entry]] = []
    private var head = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    subscript(position: Int) -> Entry {
        let p = position + head
        return chunks[p / Self.chunkSize][p % Self.chunkSize]
    }

    func term(_ position: Int) -> Term {
        let p = position + head
        return chunks[p / Self.chunkSize][p % Self.chunkSize].term
    }

    mutating func append(_ entry: Entry) {
        if chunks.isEmpty {
            chunks.append([])
        } else if chunks[chunks.count - 1].count == Self.chunkSize {
            var chunk: [Entry] = []
            chunk.reserveCapacity(Self.chunkSize)
            chunks.append(chunk)
        }
        chunks[chunks.count - 1].append(entry)
        count += 1
    }

    mutating func append(contentsOf entries: ArraySlice<Entry>) {
        var rest = entries
        while let first = rest.first {
            append(first)
            rest = rest.dropFirst()
            let last = chunks.count - 1
            let part = rest.prefix(Self.chunkSize - chunks[last].count)
            chunks[last].append(contentsOf: part)
            count += part.count
            rest = rest.dropFirst(part.count)
        }
    }

    /// Drops the first `n`. O(n).
    mutating func removeFirst(_ n: Int) {
        precondition(n <= count)
        if n == count { return removeAll() }
        count -= n
        let whole = (head + n) / Self.chunkSize
        let cut = (head + n) % Self.chunkSize
        let from = whole == 0 ? head : 0
        chunks.removeFirst(whole)
        for i in from..<cut { chunks[0][i].data = [] }
        head = cut
    }

    /// Keeps the first `n`. O(number dropped).
    mutating func truncate(to n: Int) {
        precondition(n <= count)
        if n == 0 { return removeAll() }
        let end = head + n
        let keep = (end + Self.chunkSize - 1) / Self.chunkSize
        chunks.removeLast(chunks.count - keep)
        let last = chunks.count - 1
        chunks[last].removeLast(chunks[last].count - (end - last * Self.chunkSize))
        count = n
    }

    /// Drops everything, but keeps the room of one chunk: the log of a lone node empties with every entry.
    mutating func removeAll() {
        if chunks.count > 1 { chunks.removeLast(chunks.count - 1) }
        if !chunks.isEmpty { chunks[0].removeAll(keepingCapacity: true) }
        head = 0
        count = 0
    }

    /// The entries at `range`, as many from its start as fit in `maxSize` bytes encoded, and one at least.
    func prefix(of range: Range<Int>, maxSize: UInt64) -> [Entry] {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        var end = range.upperBound
        if maxSize != noLimit {
            var size: UInt64 = 0
            for i in range {
                size += self[i].encodedSize
                if size > maxSize && i > range.lowerBound {
                    end = i
                    break
                }
            }
        }
        var result: [Entry] = []
        copy(range.lowerBound..<end, into: &result)
        return result
    }

    /// Appends the entries at `range` to an array.
    func copy(_ range: Range<Int>, into result: inout [Entry]) {
        guard !range.isEmpty else { return }
        result.reserveCapacity(result.count + range.count)
        var p = range.lowerBound + head
        let stop = range.upperBound + head
        while p < stop {
            let chunk = p / Self.chunkSize
            let start = p % Self.chunkSize
            let until = Swift.min(Self.chunkSize, start + stop - p)
            result.append(contentsOf: chunks[chunk][start..<until])
            p += until - start
        }
    }
}
