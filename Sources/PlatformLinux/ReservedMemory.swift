internal import Glibc
public import Platform

/// Zeroed memory at a fixed address that the kernel hands out page by page when it is first written, so a large
/// reservation costs nothing. The simulated disk shows its files through it.
public final class ReservedMemory: DiskMapping, @unchecked Sendable {
    // SAFETY: the constants never change and the memory lives as long as this object. The owner serializes writes;
    // readers of `base` follow the rules of a file mapping, where a write shows without further ado.
    private let memory: UnsafeMutableRawPointer
    public let capacity: Int

    public var base: UnsafeRawPointer { UnsafeRawPointer(memory) }

    public init(capacity: Int) throws(DiskError) {
        precondition(capacity > 0)
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let memory = mmap(nil, capacity, PROT_READ | PROT_WRITE, flags, -1, 0), memory != MAP_FAILED else {
            throw lastError("mmap", "\(capacity) bytes")
        }
        self.memory = memory
        self.capacity = capacity
    }

    deinit { munmap(memory, capacity) }

    /// Copies `bytes` to `offset`. All of them must fit.
    public func write(_ bytes: RawSpan, at offset: Int) {
        precondition(offset >= 0 && offset <= capacity && bytes.byteCount <= capacity - offset)
        // SAFETY: the range was checked, and a span never overlaps memory that is written here alone.
        bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { (memory + offset).copyMemory(from: start, byteCount: source.count) }
        }
    }

    /// Fills a range with zeros. All of it must lie inside.
    public func clear(_ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= capacity)
        memset(memory + range.lowerBound, 0, range.count)
    }
}

extension RawSpan {
    /// A copy of the bytes. O(n).
    public func copyBytes() -> [UInt8] {
        // SAFETY: the buffer is only read, and only inside the closure.
        withUnsafeBytes { Array($0) }
    }
}
