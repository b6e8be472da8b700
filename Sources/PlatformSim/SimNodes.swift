internal import Base
internal import Platform
internal import PlatformLinux

/// A change of a file that no sync has covered yet.
struct FileChange: Sendable {
    enum Kind: Sendable {
        case write(offset: Int, [UInt8])
        case resize(Int)
    }

    /// Its place among all changes of the disk.
    var sequence: Int
    var kind: Kind
}

/// A file: what programs see, what a sync has made sure of, and the changes in between, oldest first.
///
/// Invariant: `durable` with all of `pending` applied is `current`.
struct FileNode: Sendable {
    private(set) var current = SparseBytes()
    private(set) var durable = SparseBytes()
    private(set) var pending: [FileChange] = []
    private var mappings: [WeakMapping] = []
    /// Who holds each kind of lock: the number of an open description.
    var locks: [LockKind: Int] = [:]

    private struct WeakMapping: Sendable {
        weak var memory: ReservedMemory?
    }

    init() {}

    /// A file that is durable as it is.
    init(durable bytes: SparseBytes) {
        current = bytes
        durable = bytes
    }

    mutating func write(_ bytes: [UInt8], at offset: Int, sequence: Int) {
        guard !bytes.isEmpty else { return }
        current.write(bytes[...], at: offset)
        pending.append(FileChange(sequence: sequence, kind: .write(offset: offset, bytes)))
        mappings.removeAll { $0.memory == nil }
        for mapping in mappings {
            guard let memory = mapping.memory, offset < memory.capacity else { continue }
            let piece = Array(bytes.prefix(memory.capacity - offset))
            memory.write(piece.span.bytes, at: offset)
        }
    }

    mutating func resize(to length: Int, sequence: Int) {
        guard length != current.size else { return }
        for mapping in mappings {
            guard let memory = mapping.memory, length < memory.capacity else { continue }
            memory.clear(length..<max(length, min(memory.capacity, current.size)))
        }
        current.resize(to: length)
        pending.append(FileChange(sequence: sequence, kind: .resize(length)))
    }

    mutating func sync() {
        guard !pending.isEmpty else { return }
        durable = current
        pending = []
    }

    mutating func map(_ memory: ReservedMemory) {
        current.forEachPage { offset, page in
            guard offset < memory.capacity else { return }
            let piece = Array(page.prefix(memory.capacity - offset))
            memory.write(piece.span.bytes, at: offset)
        }
        mappings.append(WeakMapping(memory: memory))
    }

    /// Changes a bit behind everybody's back, durably, as a failing disk does.
    mutating func flip(bit: Int, at offset: Int) {
        for part in [0, 1] {
            var bytes = part == 0 ? current : durable
            guard offset < bytes.size else { continue }
            let byte = bytes.read(at: offset, count: 1)[0] ^ UInt8(1 << bit)
            bytes.write([byte], at: offset)
            if part == 0 { current = bytes } else { durable = bytes }
        }
        for case let memory? in mappings.map(\.memory) where offset < memory.capacity {
            memory.write(current.read(at: offset, count: 1).span.bytes, at: offset)
        }
    }

    /// What a crash leaves.
    func image(_ filter: inout CrashFilter) -> SparseBytes {
        var bytes = durable
        for change in pending {
            switch change.kind {
            case .resize(let length):
                if filter.keeps(change.sequence) { bytes.resize(to: length) }
            case .write(let offset, let data):
                let end = offset + data.count
                // The new size is metadata of its own; without it, data behind the old end are unreachable.
                if end > bytes.size, filter.keeps(change.sequence) { bytes.resize(to: end) }
                var at = offset
                while at < end {
                    let next = min(end, (at / sectorSize + 1) * sectorSize)
                    if filter.keeps(change.sequence), at < bytes.size {
                        bytes.write(data[(at - offset)..<(min(next, bytes.size) - offset)], at: at)
                    }
                    at = next
                }
            }
        }
        return bytes
    }
}

/// What a disk writes as a whole.
private let sectorSize = 512

/// A directory: names and what they stand for, as programs see it and as a sync has made sure of it.
struct DirectoryNode: Sendable {
    var current: [String: Int] = [:]
    var durable: [String: Int] = [:]
}

/// A change of the name space that no sync has covered: all of its assignments happen, or none.
struct DirectoryChange: Sendable {
    struct Assignment: Sendable {
        var directory: Int
        var name: String
        /// What the name stands for from now on; nil for nothing.
        var node: Int?
    }

    var sequence: Int
    var assignments: [Assignment]
}

enum Node: Sendable {
    case file(FileNode)
    case directory(DirectoryNode)
}
