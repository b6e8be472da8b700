/// What the writer owns from one transaction to the next: the free pages, the file's length, and memory for pages.
struct WriterSpace: Sendable {
    var free: FreePages
    /// Bytes that the file has, which may be more than its pages.
    var fileSize: Int64
    /// Chunks that the next transaction may use again.
    var chunks: [PageChunk] = []

    init(free: FreePages, fileSize: Int64) {
        self.free = free
        self.fileSize = fileSize
    }

    /// Bytes of a chunk; a larger page gets a chunk of its own.
    static let chunkSize = 1 << 20
    /// Chunks kept between transactions: enough for a batch of 10,000 small puts.
    static let maxChunks = 8
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
    /// Runs taken from the free pages, to be put back if the transaction is undone.
    private var allocated: [PageRun] = []
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
        let page: UInt64
        if let free = space.free.allocate(count) {
            page = free
            allocated.append(PageRun(start: free, count: count))
        } else {
            page = pageCount
            guard pageCount + UInt64(count) <= UInt64(source.capacity / pageSize) else {
                throw .full(file: source.path, capacity: source.capacity)
            }
            pageCount += UInt64(count)
        }
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
        }
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
        return recycled()
    }

    /// The writer's state as it was before the transaction.
    func spaceAfterRollback() -> WriterSpace {
        for run in allocated { space.free.insert(run) }
        space.free.truncate(to: base.meta.pageCount)
        return recycled()
    }

    private func recycled() -> WriterSpace {
        for chunk in chunks
        where chunk.capacity == WriterSpace.chunkSize && space.chunks.count < WriterSpace.maxChunks {
            space.chunks.append(chunk)
        }
        chunks = []
        slots = []
        slotOfPage = [:]
        isEnded = true
        return space
    }
}
