// The one file of this module that touches memory through pointers. Everything else works on the checked views below.

internal import CPrefetch
internal import Platform

/// A view of bytes that somebody else keeps alive: a page in the mapping, an item of a node, a caller's key.
///
/// Every access is checked against `count`; a view handed on with a wrong length is our own bug and traps.
///
/// SAFETY: the holder keeps the memory's owner alive for as long as it uses the view: the transaction (which retains
/// the mapping and, as a registered reader or as the writer, keeps its pages from being overwritten), the node, or the
/// closure of `withBytes`. The view itself only reads, so it may cross threads.
@usableFromInline
struct PageBytes: @unchecked Sendable {
    @usableFromInline let base: UnsafeRawPointer
    @usableFromInline let count: Int

    fileprivate init(base: UnsafeRawPointer, count: Int) {
        self.base = base
        self.count = count
    }

    /// No bytes.
    static var empty: PageBytes {
        // SAFETY: the address is a placeholder; with a count of 0 nothing is read at it.
        PageBytes(base: UnsafeRawPointer(bitPattern: 16).unsafelyUnwrapped, count: 0)
    }

    @inline(__always) func u16(at offset: Int) -> UInt16 { UInt16(littleEndian: load(offset)) }
    @inline(__always) func u32(at offset: Int) -> UInt32 { UInt32(littleEndian: load(offset)) }
    @inline(__always) func u64(at offset: Int) -> UInt64 { UInt64(littleEndian: load(offset)) }

    @inline(__always) private func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int) -> T {
        precondition(offset >= 0 && offset <= count &- MemoryLayout<T>.size)
        // SAFETY: the line above keeps the load inside the view.
        return base.loadUnaligned(fromByteOffset: offset, as: T.self)
    }

    @inline(__always) func slice(_ start: Int, _ length: Int) -> PageBytes {
        precondition(start >= 0 && length >= 0 && start <= count &- length)
        // SAFETY: the line above keeps the slice inside the view.
        return PageBytes(base: base + start, count: length)
    }

    /// Negative, zero or positive as these bytes come before, are equal to, or come after `other`, bytewise.
    @inline(__always) func compare(_ other: PageBytes) -> Int {
        let n = min(count, other.count)
        var i = 0
        // SAFETY: `i + 8 <= n` and `i < n` keep every load inside both views.
        while i &+ 8 <= n {
            let a = UInt64(bigEndian: base.loadUnaligned(fromByteOffset: i, as: UInt64.self))
            let b = UInt64(bigEndian: other.base.loadUnaligned(fromByteOffset: i, as: UInt64.self))
            if a != b { return a < b ? -1 : 1 }
            i &+= 8
        }
        while i < n {
            let a = base.load(fromByteOffset: i, as: UInt8.self)
            let b = other.base.load(fromByteOffset: i, as: UInt8.self)
            if a != b { return a < b ? -1 : 1 }
            i &+= 1
        }
        return count - other.count
    }

    /// The first 8 bytes as a number, zeros for those that are missing: it orders as the bytes do, but may be equal for
    /// different ones.
    @inline(__always) var leadingWord: UInt64 {
        // SAFETY: the whole word lies inside the view.
        if count >= 8 { return UInt64(bigEndian: base.loadUnaligned(as: UInt64.self)) }
        var word: UInt64 = 0
        for i in 0..<count {
            // SAFETY: `i` is below `count`.
            word |= UInt64(base.load(fromByteOffset: i, as: UInt8.self)) &<< (56 &- 8 &* UInt64(i))
        }
        return word
    }

    /// A copy of the bytes.
    var array: [UInt8] {
        // SAFETY: the buffer has exactly the view's extent and is copied at once.
        [UInt8](UnsafeRawBufferPointer(start: base, count: count))
    }

    /// Lends the bytes to `body`.
    @inlinable @inline(__always)
    func withSpan<R>(_ body: (Span<UInt8>) throws(BoltError) -> R) throws(BoltError) -> R {
        // SAFETY: the span cannot leave the call, during which the owner is alive.
        let buffer = UnsafeBufferPointer(start: base.assumingMemoryBound(to: UInt8.self), count: count)
        return try body(buffer.span)
    }

    /// A checksum of the first `length` bytes, a multiple of 8. See docs/formats/bolt.md, "Seal".
    ///
    /// Every step is a bijection of the state for given bytes and of the bytes for a given state, so a change inside of
    /// one 8-byte word never goes unnoticed; any other one does with a chance of 2^-64.
    func checksum(_ length: Int) -> UInt64 {
        precondition(length >= 0 && length <= count && length & 7 == 0)
        let prime: UInt64 = 0x9E37_79B9_7F4A_7C15
        var lanes: (UInt64, UInt64, UInt64, UInt64) = (
            0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344, 0xA409_3822_299F_31D0, UInt64(length)
        )
        @inline(__always) func mix(_ lane: UInt64, _ offset: Int) -> UInt64 {
            // SAFETY: the loops below ask only for words that end at or before `length`, which is at most `count`.
            let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            let product = (lane ^ word) &* prime
            return product &<< 29 | product &>> 35
        }
        var i = 0
        while i &+ 32 <= length {
            lanes.0 = mix(lanes.0, i)
            lanes.1 = mix(lanes.1, i &+ 8)
            lanes.2 = mix(lanes.2, i &+ 16)
            lanes.3 = mix(lanes.3, i &+ 24)
            i &+= 32
        }
        while i < length {
            lanes.0 = mix(lanes.0, i)
            i &+= 8
        }
        var sum = (lanes.0 ^ lanes.0 &>> 32 ^ lanes.1) &* prime
        sum = (sum ^ sum &>> 32 ^ lanes.2) &* prime
        sum = (sum ^ sum &>> 32 ^ lanes.3) &* prime
        return sum ^ sum &>> 29
    }

    fileprivate func copy(to destination: UnsafeMutableRawPointer) {
        // SAFETY: the caller has checked that `count` bytes fit at `destination`; the two never overlap.
        destination.copyMemory(from: base, byteCount: count)
    }
}

/// Lends an array's bytes to `body` as a view.
@inline(__always)
func withBytes<R>(_ array: [UInt8], _ body: (PageBytes) throws(BoltError) -> R) throws(BoltError) -> R {
    try withBytes(array.span, body)
}

/// Lends a span's bytes to `body` as a view.
@inline(__always)
func withBytes<R>(_ span: Span<UInt8>, _ body: (PageBytes) throws(BoltError) -> R) throws(BoltError) -> R {
    try span.withUnsafeBufferPointer { (buffer) throws(BoltError) -> R in
        guard let base = buffer.baseAddress else { return try body(.empty) }
        // SAFETY: what the span is of stays where it is for the closure.
        return try body(PageBytes(base: UnsafeRawPointer(base), count: buffer.count))
    }
}

/// The file's pages in memory.
///
/// SAFETY: immutable; the mapping is read-only memory at a fixed address, and callers ask only for pages below the
/// high-water mark of a committed version, which end before the file does.
final class PageSource: @unchecked Sendable {
    let path: String
    let pageSize: Int
    let capacity: Int
    private let mapping: any DiskMapping
    fileprivate let base: UnsafeRawPointer
    /// Pages of address space.
    private let pageCapacity: Int

    init(path: String, pageSize: Int, mapping: any DiskMapping) {
        self.path = path
        self.pageSize = pageSize
        self.capacity = mapping.capacity
        pageCapacity = mapping.capacity / pageSize
        self.mapping = mapping
        // SAFETY: `mapping` is retained as long as `base` is used.
        self.base = mapping.base
    }

    /// `pages` pages from page `id` on. The caller knows that they lie inside the file.
    @inline(__always) func bytes(_ id: UInt64, pages: Int) -> PageBytes {
        precondition(pages > 0 && id <= UInt64(pageCapacity &- pages))
        // SAFETY: inside the reserved address space by the line above, inside the file by the caller's word.
        return PageBytes(base: base + Int(id) &* pageSize, count: pages &* pageSize)
    }
}

extension PageSource {
    /// Lets the processor fetch the line at `offset` of page `id`, if there is one, without waiting for it.
    @inline(__always) func prefetch(_ id: UInt64, at offset: Int) {
        let address = UInt(bitPattern: base) &+ UInt(truncatingIfNeeded: id) &* UInt(pageSize) &+ UInt(offset)
        // SAFETY: nothing is read, and the processor ignores an address at which there is nothing, so `id` may be
        // wrong.
        martlet_prefetch(UnsafeRawPointer(bitPattern: address))
    }
}

/// Bytes that only grow, at an address that stays until the next append.
final class GrowingBytes {
    private var base: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = max(64, capacity)
        // SAFETY: owned by this object and freed by `deinit` or `reserve`.
        base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit { base.deallocate() }

    /// Appends a copy and returns where it begins. `bytes` must not be a view into these bytes.
    func append(_ bytes: PageBytes) -> Int {
        let start = count
        reserve(start + bytes.count)
        // SAFETY: `reserve` made room for `bytes.count` bytes at `start`.
        bytes.copy(to: base + start)
        count += bytes.count
        return start
    }

    /// Replaces bytes in place.
    func overwrite(at start: Int, with bytes: PageBytes) {
        precondition(start >= 0 && start + bytes.count <= count)
        // SAFETY: inside the bytes written so far by the line above.
        bytes.copy(to: base + start)
    }

    @inline(__always) func slice(_ start: Int, _ length: Int) -> PageBytes {
        precondition(start >= 0 && length >= 0 && start <= count &- length)
        // SAFETY: inside the bytes written so far; the view is used before the next append.
        return PageBytes(base: UnsafeRawPointer(base + start), count: length)
    }

    private func reserve(_ needed: Int) {
        guard needed > capacity else { return }
        let larger = max(needed, capacity * 2)
        // SAFETY: the old block is copied whole and freed once.
        let block = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        block.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = block
        capacity = larger
    }
}

/// A block of memory in which pages are laid out before they are written.
///
/// SAFETY: owned by one write transaction at a time: the database hands its chunks over with the writer's turn.
final class PageChunk: @unchecked Sendable {
    let capacity: Int
    private let base: UnsafeMutableRawPointer

    init(capacity: Int) {
        self.capacity = capacity
        // SAFETY: freed by `deinit`.
        base = .allocate(byteCount: capacity, alignment: 4096)
    }

    deinit { base.deallocate() }

    func writer(at offset: Int, count: Int) -> PageWriter {
        precondition(offset >= 0 && count > 0 && offset + count <= capacity)
        // SAFETY: inside the chunk; the transaction that asks keeps the chunk until its end.
        return PageWriter(base: base + offset, count: count)
    }

    func bytes(at offset: Int, count: Int) -> PageBytes {
        precondition(offset >= 0 && count >= 0 && offset + count <= capacity)
        // SAFETY: as above. Only pages that were laid out completely are read.
        return PageBytes(base: UnsafeRawPointer(base + offset), count: count)
    }

    /// Writes `count` bytes from `offset` to the file.
    func write(from offset: Int, count: Int, to file: any DiskFile, at position: Int64) throws(DiskError) {
        precondition(offset >= 0 && count >= 0 && offset + count <= capacity)
        // SAFETY: the span ends with the call, and the chunk is alive through it.
        let buffer = UnsafeRawBufferPointer(start: base + offset, count: count)
        try file.write(buffer.bytes, at: position)
    }
}

/// Fills one page, with its overflow, in a chunk.
struct PageWriter {
    private let base: UnsafeMutableRawPointer
    let count: Int

    fileprivate init(base: UnsafeMutableRawPointer, count: Int) {
        self.base = base
        self.count = count
    }

    @inline(__always) func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
        precondition(offset >= 0 && offset <= count &- MemoryLayout<T>.size)
        // SAFETY: the line above keeps the store inside the page.
        base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }

    @inline(__always) func put(_ bytes: PageBytes, at offset: Int) {
        precondition(offset >= 0 && offset <= count &- bytes.count)
        // SAFETY: the line above keeps the copy inside the page.
        bytes.copy(to: base + offset)
    }

    /// What has been written so far.
    var bytes: PageBytes {
        // SAFETY: the same memory with the same extent; whoever lays the page out is its only writer.
        PageBytes(base: UnsafeRawPointer(base), count: count)
    }

    /// Zeros from `offset` to the end, so that nothing of an older use of the memory reaches the file.
    func zero(from offset: Int) {
        precondition(offset >= 0 && offset <= count)
        // SAFETY: from inside the page to its end.
        (base + offset).initializeMemory(as: UInt8.self, repeating: 0, count: count - offset)
    }
}
