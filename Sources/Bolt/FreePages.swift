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

    /// Whether any page before `limit` is free.
    mutating func hasPage(below limit: UInt64) -> Bool {
        guard freeCount > 0 else { return false }
        while words[firstWord] == 0 { firstWord += 1 }
        return UInt64(firstWord * 64 + words[firstWord].trailingZeroBitCount) < limit
    }

    /// How many pages at the end of `pageCount` are free.
    /// - Complexity: O(the answer / 64).
    func freeTail(of pageCount: UInt64) -> Int {
        var page = pageCount
        while page > Layout.firstPage, isFree(page - 1) {
            let word = Int((page - 1) / 64)
            page = page % 64 == 0 && words[word] == .max ? page - 64 : page - 1
        }
        return Int(pageCount - page)
    }

    /// Forgets the pages from `pageCount` on, all of which are free.
    mutating func removeTail(from pageCount: UInt64) {
        let kept = Int((pageCount + 63) / 64)
        guard words.count >= kept else { return }
        for word in words[kept...] { freeCount -= word.nonzeroBitCount }
        words.removeSubrange(kept...)
        if kept > 0, pageCount % 64 != 0 {
            let mask: UInt64 = (1 << (pageCount % 64)) - 1
            freeCount -= (words[kept - 1] & ~mask).nonzeroBitCount
            words[kept - 1] &= mask
        }
        firstWord = min(firstWord, words.count)
    }

    private mutating func remove(_ page: UInt64) {
        let bit: UInt64 = 1 << (page % 64)
        guard words[Int(page / 64)] & bit != 0 else { return }
        words[Int(page / 64)] &= ~bit
        freeCount -= 1
    }

    /// Takes the lowest run of `count` free pages, if it ends at or before page `limit`; nil if there is none.
    /// - Complexity: O(pages / 64) at worst; the start of the scan moves up with the free pages.
    mutating func allocate(_ count: Int, below limit: UInt64 = .max) -> UInt64? {
        precondition(count > 0)
        guard count <= freeCount, count < missingRun else { return nil }
        if count == 1 {
            while words[firstWord] == 0 { firstWord += 1 }
            let page = UInt64(firstWord * 64 + words[firstWord].trailingZeroBitCount)
            guard page < limit else { return nil }
            remove(page)
            return page
        }
        guard let start = findRun(count) else {
            missingRun = count
            return nil
        }
        guard start + UInt64(count) <= limit else { return nil }
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

    /// Pages that transactions after `transactionID` stopped using.
    func pendingCount(after transactionID: UInt64) -> Int {
        var count = 0
        for entry in pending.reversed() {
            guard entry.transactionID > transactionID else { break }
            count += entry.count
        }
        return count
    }

    /// Frees what the transactions up to `transactionID` stopped using, and returns how many pages that are.
    mutating func release(through transactionID: UInt64) -> Int {
        var done = 0
        var pages = 0
        while done < pending.count, pending[done].transactionID <= transactionID {
            for run in pending[done].runs { insert(run) }
            pages += pending[done].count
            done += 1
        }
        pending.removeFirst(done)
        pendingCount -= pages
        return pages
    }

    /// The free and the pending pages: all that the version does not use. What bbolt stores in a freelist page.
    var allPages: PageSet {
        var set = PageSet(words)
        for entry in pending {
            for run in entry.runs { set.insert(run) }
        }
        return set
    }
}

/// A set of pages, a bit for each.
struct PageSet: Sendable {
    private(set) var words: [UInt64]
    private(set) var count: Int

    init(_ words: [UInt64] = []) {
        self.words = words
        count = words.reduce(0) { $0 + $1.nonzeroBitCount }
    }

    @inline(__always) func contains(_ page: UInt64) -> Bool {
        let word = Int(page / 64)
        return word < words.count && words[word] & (1 << (page % 64)) != 0
    }

    /// - Returns: false if the page was in the set before.
    @discardableResult
    mutating func insert(_ page: UInt64) -> Bool {
        let word = Int(page / 64)
        if words.count <= word { words.append(contentsOf: repeatElement(0, count: word + 1 - words.count)) }
        let bit: UInt64 = 1 << (page % 64)
        guard words[word] & bit == 0 else { return false }
        words[word] |= bit
        count += 1
        return true
    }

    mutating func insert(_ run: PageRun) {
        for page in run.start..<run.start + UInt64(run.count) { insert(page) }
    }

    /// Calls `body` with each page, ascending.
    func forEach(_ body: (UInt64) -> Void) {
        for (index, word) in words.enumerated() {
            var rest = word
            while rest != 0 {
                body(UInt64(index * 64 + rest.trailingZeroBitCount))
                rest &= rest - 1
            }
        }
    }
}
