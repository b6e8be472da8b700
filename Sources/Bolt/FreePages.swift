/// A run of neighbouring pages.
struct PageRun: Equatable, Sendable {
    var start: UInt64
    var count: Int
}

/// Which pages may be written, and which may be later.
///
/// Invariants: a page is free, pending in one transaction, or in use; `freeCount` and `pendingCount` count the first
/// two kinds; `pending` ascends by transaction.
struct FreePages: Sendable {
    /// The pages that one transaction stopped using.
    struct Pending: Sendable {
        let transactionID: UInt64
        let runs: [PageRun]
        let count: Int
    }

    /// A bit for each page, set when it is free.
    private var words: [UInt64] = []
    private(set) var freeCount = 0
    private(set) var pending: [Pending] = []
    private(set) var pendingCount = 0
    /// No free page lies in a word before this one.
    private var firstWord = 0
    /// No run of this many pages is free; set when one was looked for in vain.
    private var missingRun = Int.max

    func isFree(_ page: UInt64) -> Bool {
        let word = Int(page / 64)
        return word < words.count && words[word] & (1 << (page % 64)) != 0
    }

    mutating func insert(_ run: PageRun) {
        let end = run.start + UInt64(run.count)
        let needed = Int((end + 63) / 64)
        if words.count < needed { words.append(contentsOf: repeatElement(0, count: needed - words.count)) }
        for page in run.start..<end {
            let bit: UInt64 = 1 << (page % 64)
            if words[Int(page / 64)] & bit == 0 {
                words[Int(page / 64)] |= bit
                freeCount += 1
            }
        }
        firstWord = min(firstWord, Int(run.start / 64))
        missingRun = .max
    }

    /// Takes back everything from `pageCount` on, when a transaction that had moved the high-water mark is undone.
    mutating func truncate(to pageCount: UInt64) {
        for page in pageCount..<max(pageCount, UInt64(words.count) * 64) { remove(page) }
    }

    private mutating func remove(_ page: UInt64) {
        let bit: UInt64 = 1 << (page % 64)
        guard words[Int(page / 64)] & bit != 0 else { return }
        words[Int(page / 64)] &= ~bit
        freeCount -= 1
    }

    /// Takes the lowest run of `count` free pages, or nil if there is none.
    /// - Complexity: O(pages / 64) at worst; the start of the scan moves up with the free pages.
    mutating func allocate(_ count: Int) -> UInt64? {
        precondition(count > 0)
        guard count <= freeCount, count < missingRun else { return nil }
        if count == 1 {
            while words[firstWord] == 0 { firstWord += 1 }
            let page = UInt64(firstWord * 64 + words[firstWord].trailingZeroBitCount)
            remove(page)
            return page
        }
        guard let start = findRun(count) else {
            missingRun = count
            return nil
        }
        for page in start..<start + UInt64(count) { remove(page) }
        return start
    }

    private func findRun(_ count: Int) -> UInt64? {
        var length = 0
        for index in firstWord..<words.count {
            let word = words[index]
            if word == 0 {
                length = 0
            } else if word == .max {
                length += 64
                if length >= count { return UInt64((index + 1) * 64 - length) }
            } else {
                for bit in 0..<64 {
                    length = word & (1 << UInt64(bit)) == 0 ? 0 : length + 1
                    if length == count { return UInt64(index * 64 + bit + 1 - count) }
                }
            }
        }
        return nil
    }

    /// Notes the pages that `transactionID`, now durable, stopped using.
    mutating func addPending(_ runs: [PageRun], transactionID: UInt64) {
        guard !runs.isEmpty else { return }
        precondition(pending.last.map { $0.transactionID < transactionID } ?? true)
        let count = runs.reduce(0) { $0 + $1.count }
        pending.append(Pending(transactionID: transactionID, runs: runs, count: count))
        pendingCount += count
    }

    /// Frees what the transactions up to `transactionID` stopped using.
    mutating func release(through transactionID: UInt64) {
        var released = 0
        while released < pending.count, pending[released].transactionID <= transactionID {
            for run in pending[released].runs { insert(run) }
            pendingCount -= pending[released].count
            released += 1
        }
        pending.removeFirst(released)
    }

    /// The free and the pending pages, ascending; what bbolt stores in a freelist page.
    func allPages() -> [UInt64] {
        var pages: [UInt64] = []
        pages.reserveCapacity(freeCount + pendingCount)
        for (index, word) in words.enumerated() where word != 0 {
            for bit in 0..<64 where word & (1 << UInt64(bit)) != 0 { pages.append(UInt64(index * 64 + bit)) }
        }
        for entry in pending {
            for run in entry.runs { pages.append(contentsOf: run.start..<run.start + UInt64(run.count)) }
        }
        pages.sort()
        return pages
    }
}
