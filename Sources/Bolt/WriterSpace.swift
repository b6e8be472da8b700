/// What the writer owns from one transaction to the next: the free pages, the file's length, and memory for pages.
struct WriterSpace: Sendable {
    var free: FreePages
    /// Bytes that the file has, which may be more than its pages.
    var fileSize: Int64
    /// Chunks that the next transaction may use again.
    var chunks: [PageChunk] = []

    /// Every page that the version reaches has a seal.
    var isSealed: Bool
    var reclaim = Reclaim()

    init(free: FreePages, fileSize: Int64, isSealed: Bool) {
        self.free = free
        self.fileSize = fileSize
        self.isSealed = isSealed
    }

    /// Frees the pages that the transactions up to `transactionID` stopped using.
    mutating func release(through transactionID: UInt64) {
        reclaim.released(free.release(through: transactionID))
    }

    /// Whether commits have pages to move, or to wait for.
    func hasReclaimWork(pageCount: UInt64, pageSize: Int, oldestReader: UInt64) -> Bool {
        let inUse = Int(pageCount) - free.freeCount - free.pendingCount
        let coming = free.pendingCount - free.pendingCount(after: oldestReader)
        return reclaim.hasWork(pagesInUse: inUse, pageCount: pageCount, pageSize: pageSize, coming: coming)
    }

    /// Bytes of a chunk; a larger page gets a chunk of its own.
    static let chunkSize = 1 << 20
    /// Chunks kept between transactions: enough for a batch of 10,000 small puts.
    static let maxChunks = 8
}

/// What a commit brings nearer even if it changes nothing.
struct ComingSpace {
    /// Pages that the next commits will be able to use.
    var pages: Int
    /// The file can be cut once the older meta page is replaced.
    var canCut: Bool
}

/// The pages of one write transaction: allocated, laid out in memory, freed; nothing reaches the file before `write`.
///
/// Invariants: a page laid out here has exactly one live slot; pages of committed versions are only noted in `freed`.
final class WritePages {
    let base: Version
    let source: PageSource
    var space: WriterSpace
    private(set) var pageCount: UInt64
    /// Pages of the committed version that this one stops using.
    private(set) var freed: [PageRun] = []
    private(set) var freedCount = 0
    /// Bytes of the items that deletes have taken out of pages.
    var looseBytes = 0
    private var slots: [Slot] = []
    private var slotOfPage: [UInt64: Int] = [:]
    private var chunks: [PageChunk] = []
    private var chunkUsed = 0
    var isEnded = false

    /// Where a page with its overflow is laid out.
    private struct Slot {
        let page: UInt64
        let pages: Int
        let chunk: Int
        let offset: Int
        var isLive = true
    }

    init(base: Version, space: WriterSpace) {
        self.base = base
        self.source = base.source
        self.space = space
        pageCount = base.meta.pageCount
    }

    var pageSize: Int { source.pageSize }
    /// Bytes of a page for header, elements, keys and values; the seal takes the rest.
    var pageRoom: Int { source.pageSize - Seal.byteCount }
    /// Pages for `size` bytes and the seal.
    func pageNumber(_ size: Int) -> Int { (size + Seal.byteCount + pageSize - 1) / pageSize }
    /// Pages that this version uses: the meta pages, and all that were not freed.
    var pagesInUse: UInt64 {
        pageCount - UInt64(space.free.freeCount + space.free.pendingCount + freedCount)
    }

    /// Whether a sweep should begin, when further `coming` pages have come free.
    func isReclaimDue(coming: Int) -> Bool {
        space.reclaim.isDue(
            pagesInUse: Int(pagesInUse), pageCount: pageCount, pageSize: pageSize, coming: coming)
    }

    @inline(__always) func checkOpen() throws(BoltError) {
        guard !isEnded else { throw .transactionEnded }
    }

    /// The page `id` as this transaction sees it.
    func page(_ id: UInt64) throws(BoltError) -> Page {
        if let index = slotOfPage[id] {
            let slot = slots[index]
            let bytes = chunks[slot.chunk].bytes(at: slot.offset, count: slot.pages * pageSize)
            return try Page(bytes: bytes, id: id, source: source)
        }
        return try base.page(id)
    }

    /// Takes `count` neighbouring pages and memory to lay them out in.
    /// - Throws: `.full` if they lie beyond the reserved address space.
    func allocate(_ count: Int) throws(BoltError) -> (page: UInt64, writer: PageWriter) {
        if let free = space.free.allocate(count) { return layOut(free, count) }
        let page = pageCount
        guard pageCount + UInt64(count) <= UInt64(source.capacity / pageSize) else {
            throw .full(file: source.path, capacity: source.capacity)
        }
        pageCount += UInt64(count)
        return layOut(page, count)
    }

    /// Takes `count` neighbouring pages that end at or before page `limit`; nil if none are free there.
    func allocate(_ count: Int, below limit: UInt64) -> (page: UInt64, writer: PageWriter)? {
        space.free.allocate(count, below: limit).map { layOut($0, count) }
    }

    private func layOut(_ page: UInt64, _ count: Int) -> (page: UInt64, writer: PageWriter) {
        let length = count * pageSize
        if chunks.isEmpty || chunkUsed + length > chunks[chunks.count - 1].capacity { addChunk(length) }
        let slot = Slot(page: page, pages: count, chunk: chunks.count - 1, offset: chunkUsed)
        chunkUsed += length
        slotOfPage[page] = slots.count
        slots.append(slot)
        return (page, chunks[slot.chunk].writer(at: slot.offset, count: length))
    }

    private func addChunk(_ length: Int) {
        if length <= WriterSpace.chunkSize, let chunk = space.chunks.popLast() {
            chunks.append(chunk)
        } else {
            chunks.append(PageChunk(capacity: max(length, WriterSpace.chunkSize)))
        }
        chunkUsed = 0
    }

    /// Stops using a page with its overflow. One laid out in this transaction can be used again at once.
    func free(_ page: UInt64, count: Int) {
        let run = PageRun(start: page, count: count)
        if let index = slotOfPage.removeValue(forKey: page) {
            slots[index].isLive = false
            space.free.insert(run)
        } else {
            freed.append(run)
            freedCount += count
        }
    }

    /// Lowers the high-water mark below the free pages at the end. Does nothing for fewer than `minimum` of them.
    func cutFreeTail(minimum: Int) -> Bool {
        let tail = space.free.freeTail(of: pageCount)
        guard tail >= max(1, minimum) else { return false }
        pageCount -= UInt64(tail)
        space.free.removeTail(from: pageCount)
        return true
    }

    /// Calls `body` for each stretch of neighbouring pages that also neighbour each other in memory, in page order.
    func forEachStretch(
        _ body: (_ chunk: PageChunk, _ offset: Int, _ count: Int, _ position: Int64) throws(BoltError) -> Void
    ) throws(BoltError) {
        let live = slots.filter(\.isLive).sorted { $0.page < $1.page }
        var index = 0
        while index < live.count {
            let first = live[index]
            var pages = first.pages
            index += 1
            while index < live.count, live[index].chunk == first.chunk, live[index].page == first.page + UInt64(pages),
                live[index].offset == first.offset + pages * pageSize
            {
                pages += live[index].pages
                index += 1
            }
            try body(
                chunks[first.chunk], first.offset, pages * pageSize, Int64(first.page) * Int64(pageSize))
        }
    }

    /// The writer's state as it goes on after a commit of `transactionID`.
    func spaceAfterCommit(_ transactionID: UInt64) -> WriterSpace {
        space.free.addPending(freed, transactionID: transactionID)
        space.reclaim.loosened(looseBytes)
        return space
    }

    /// Ends the transaction, and gives the memory for pages back for the next one.
    func end() -> [PageChunk] {
        var kept = space.chunks
        for chunk in chunks where chunk.capacity == WriterSpace.chunkSize && kept.count < WriterSpace.maxChunks {
            kept.append(chunk)
        }
        chunks = []
        slots = []
        slotOfPage = [:]
        isEnded = true
        return kept
    }
}
