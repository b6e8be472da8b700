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

    /// What a crash leaves. A sector that reached the disk with one write holds all earlier writes to it too, because
    /// it was written from memory as a whole.
    func image(_ filter: inout CrashFilter) -> SparseBytes {
        var bytes = durable
        var memory = durable
        // The size is metadata of its own: data can lie behind it, and come to light when a later size survives.
        var size = durable.size
        for change in pending {
            switch change.kind {
            case .resize(let length):
                memory.resize(to: length)
                guard filter.keeps(change.sequence) else { continue }
                if length < bytes.size { bytes.resize(to: length) }
                size = length
            case .write(let offset, let data):
                memory.write(data[...], at: offset)
                let end = offset + data.count
                if end > size, filter.keeps(change.sequence) { size = end }
                for sector in (offset / sectorSize)...((end - 1) / sectorSize) where filter.keeps(change.sequence) {
                    let content = memory.read(at: sector * sectorSize, count: sectorSize)
                    bytes.write(content[...], at: sector * sectorSize)
                }
            }
        }
        bytes.resize(to: size)
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
