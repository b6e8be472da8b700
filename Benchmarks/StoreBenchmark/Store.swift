internal import Base
internal import EtcdProto
internal import MVCC
internal import PlatformLinux

/// A key-value store over a file, driven as a member drives it: commits when they are due.
final class Store {
    let file: BackendFile
    let keyValues: KeyValueStore
    private var request: [UInt8] = []
    private var response: [UInt8] = []
    private var index: UInt64

    init(_ path: String) throws {
        file = try BackendFile.open(path, on: LinuxDisk())
        keyValues = try KeyValueStore(Backend(try file.read()))
        index = keyValues.backend.consistentIndex.rawValue
    }

    static let header = ResponseHeader(clusterID: ClusterID(1), memberID: MemberID(2), term: Term(3))

    func put(_ key: [UInt8], _ value: [UInt8]) throws {
        request.removeAll(keepingCapacity: true)
        response.removeAll(keepingCapacity: true)
        Wire.appendBytesField(1, key[...], to: &request)
        Wire.appendBytesField(2, value[...], to: &request)
        try keyValues.put(try PutCommand(request), in: request, header: Self.header, into: &response)
        advance()
    }

    func advance() {
        index += 1
        keyValues.backend.setConsistentIndex(LogIndex(index), term: Term(1))
    }

    func commit() throws {
        if let batch = keyValues.backend.freeze() { keyValues.backend.committed(try batch.write(to: file)) }
    }
}

/// 32 bytes, in no order that follows the number.
func scatteredKey(_ number: Int) -> [UInt8] {
    var random = SeededGenerator(seed: UInt64(number))
    let text = String(random.next(), radix: 16) + String(random.next(), radix: 16) + "0000000000000000"
    return Array(("k" + text).utf8.prefix(32))
}

/// A million keys of 32 bytes into a new file, for `memory` and for reading with other programs.
func fill(path: String) throws {
    let store = try Store(path)
    for i in 0..<total {
        try store.put(scatteredKey(i), Array("v\(i)".utf8))
        if i % batchSize == batchSize - 1 { try store.commit() }
    }
    try store.commit()
    try store.file.close()
    print("\(path): \(total) keys, \(try fileSize(path)) bytes")
}

/// What the index of a million keys takes, read from a file that exists or from a new one.
func measureMemory(path: String?, _ scratch: Scratch) throws {
    var file = path ?? ""
    if try path == nil || fileSize(file) < 1 << 20 {
        file = scratch.path + "/db"
        try fill(path: file)
    }
    let before = try anonymousBytes()
    var store: Store?
    let time = try seconds { store = try Store(file) }
    let grown = try anonymousBytes() - before
    let keys = store?.keyValues.keyCount ?? 0
    print("opened \(keys) keys in \(time) s; memory grew by \(grown) bytes, \(grown / max(1, keys)) a key")
}

/// The slices of a compaction with a million keys, of which half have one revision more than the others, and with a
/// million revisions of one key. By the clock, and by the time that the thread had a processor: where only the first is
/// long, the machine was doing something else.
func measureCompaction(_ scratch: Scratch) throws {
    for (name, keys, rounds, part) in [
        ("a million keys", total, 1, 1.0), ("a million keys, four or three revisions each", total, 3, 1.0),
        ("a million revisions of one key", 1, total, 1.0),
        ("a million revisions of one key, half of them kept", 1, total, 0.5),
    ] {
        let store = try Store(scratch.path + "/db-\(keys)-\(rounds)-\(part)")
        let value = [UInt8](repeating: 0x76, count: 100)
        let names = (0..<keys).map(scatteredKey)
        var puts = Timings()
        var commits = 0
        for _ in 0..<rounds {
            for name in names {
                try puts.measure { try store.put(name, value) }
                commits += 1
                if commits % batchSize == 0 { try store.commit() }
            }
        }
        // Half of the keys once more, so that there is something to remove.
        for name in names.prefix(keys / 2) { try store.put(name, value) }
        try store.commit()
        try store.keyValues.compact(Int64(Double(store.keyValues.currentRevision) * part))
        store.advance()
        var slices = Timings()
        var rowSlices = 0
        var processor = Timings()
        var freezes = Timings()
        var long: [String] = []
        while store.keyValues.isCompacting {
            let before = store.keyValues.counters.compactedRows
            var slice = Timings()
            let start = Timings.threadTime()
            _ = try slice.measure { try store.keyValues.compactStep() }
            let time = Timings.threadTime() - start
            processor.append(time)
            let removed = store.keyValues.counters.compactedRows - before
            if time > 500_000 || slice.nanosecondsInAll > 1_000_000 {
                long.append(
                    "#\(processor.count): \(time / 1000) us of the processor, \(slice.longest), \(removed) rows removed"
                )
            }
            if removed > 0 { rowSlices += 1 }
            slices.append(slice)
            if store.keyValues.backend.needsCommit {
                if let batch = freezes.measure({ store.keyValues.backend.freeze() }) {
                    let result = try batch.write(to: store.file)
                    freezes.measure { store.keyValues.backend.committed(result) }
                }
            }
        }
        print("compaction, \(name): \(slices.count) slices, \(rowSlices) of them removed rows")
        print("  by the clock: \(slices.summary)")
        print("  time of the processor: \(processor.summary)")
        for line in long.prefix(20) { print("  long: \(line)") }
        print("  its commits on the owner's thread: \(freezes.summary); puts: \(puts.summary)")
        try store.file.close()
    }
}
