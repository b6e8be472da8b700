import Base
import Bolt
import Foundation

/// What a bucket should hold.
struct Model: Equatable {
    var values: [[UInt8]: [UInt8]] = [:]
    var buckets: [[UInt8]: Model] = [:]
    var sequence: UInt64 = 0

    init() {}

    /// Everything that a bucket of the database holds.
    init(_ bucket: Bucket) throws(BoltError) {
        sequence = bucket.sequence
        var cursor = bucket.cursor()
        var more = try cursor.first()
        while more {
            if let inner = try cursor.openBucket() {
                buckets[cursor.key] = try Model(inner)
            } else {
                values[cursor.key] = cursor.value
            }
            more = try cursor.next()
        }
    }

    init(_ database: Database) throws(BoltError) {
        let read = try database.beginRead()
        defer { read.close() }
        try self.init(read.rootBucket)
    }

    /// All names in the order of a cursor.
    var keys: [[UInt8]] { sorted(Array(values.keys) + Array(buckets.keys)) }

    func inner(_ path: [[UInt8]]) -> Model? {
        guard let name = path.first else { return self }
        return buckets[name]?.inner(Array(path.dropFirst()))
    }

    @discardableResult
    mutating func change<R>(_ path: [[UInt8]], _ body: (inout Model) -> R) -> R? {
        guard let name = path.first else { return body(&self) }
        return buckets[name]?.change(Array(path.dropFirst()), body)
    }
}

func sorted(_ keys: some Sequence<[UInt8]>) -> [[UInt8]] { keys.sorted { $0.lexicographicallyPrecedes($1) } }

/// Random changes, the same to a write transaction and to a model of it.
struct Workload {
    var random: SeededGenerator
    var nextKey: UInt64 = 1
    let largest: Int

    /// - Parameter largest: bytes of the largest values.
    init(seed: UInt64, largest: Int = 20_000) {
        random = SeededGenerator(seed: seed)
        self.largest = largest
    }

    /// Several changes, as one transaction may make them.
    mutating func transaction(_ tx: WriteTransaction, _ model: inout Model, steps: Int) throws {
        for _ in 0..<steps { try step(tx, &model) }
    }

    private mutating func step(_ tx: WriteTransaction, _ model: inout Model) throws {
        let path = pickBucket(model)
        if path.isEmpty || random.chance(1, in: 25) { return try changeBuckets(tx, &model, path) }
        let bucket = try tx.bucket(path: path)
        switch random.next(below: 12) {
        case 0...3: try put(bucket, &model, path)
        case 4...5: try delete(bucket, &model, path)
        case 6...7: try putRun(bucket, &model, path, run: appendedRun())
        case 8: try putRun(bucket, &model, path, run: scatteredRun())
        case 9...10: try deleteRun(bucket, &model, path)
        default:
            let sequence = random.next()
            try bucket.setSequence(sequence)
            model.change(path) { $0.sequence = sequence }
        }
    }

    private mutating func pickBucket(_ model: Model) -> [[UInt8]] {
        var path: [[UInt8]] = []
        while path.count < 3, let names = model.inner(path).map({ sorted($0.buckets.keys) }) {
            guard !names.isEmpty, path.isEmpty || random.chance(1, in: 3) else { break }
            path.append(names[random.next(below: names.count)])
        }
        return path
    }

    private mutating func changeBuckets(
        _ tx: WriteTransaction, _ model: inout Model, _ path: [[UInt8]]
    ) throws {
        let bucket = try tx.bucket(path: path)
        let name: [UInt8] = [0x62, UInt8(random.next(below: 4))]
        guard path.count < 3 else { return }
        if model.inner(path)?.buckets[name] != nil, random.chance(1, in: 3) {
            try bucket.deleteBucket(name)
            model.change(path) { $0.buckets[name] = nil }
        } else {
            try bucket.createBucketIfMissing(name)
            model.change(path) { $0.buckets[name] = $0.buckets[name] ?? Model() }
        }
    }

    /// A small key space, so that keys meet again; the first byte keeps them apart from bucket names.
    private mutating func key() -> [UInt8] {
        let number = random.next(below: 3000)
        return scatteredKey(number) + [UInt8](repeating: 0x2E, count: number % 7 == 0 ? number % 90 : 0)
    }

    private func scatteredKey(_ number: Int) -> [UInt8] { [0x6B, UInt8(number >> 8), UInt8(number & 255)] }

    private func appendedKey(_ number: UInt64) -> [UInt8] {
        [0x72] + (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
    }

    private mutating func value() -> [UInt8] {
        let count =
            switch random.next(below: 40) {
            case 0: random.next(below: largest)
            case 1...3: random.next(below: largest / 8)
            case 4...6: 0
            default: random.next(below: 200)
            }
        return [UInt8](repeating: UInt8(random.next(below: 256)), count: count)
    }

    private mutating func put(_ bucket: WritableBucket, _ model: inout Model, _ path: [[UInt8]]) throws {
        let (key, value) = (key(), value())
        try bucket.put(key, value)
        model.change(path) { $0.values[key] = value }
    }

    private mutating func delete(_ bucket: WritableBucket, _ model: inout Model, _ path: [[UInt8]]) throws {
        let key = key()
        let was = try bucket.delete(key)
        let expected = model.change(path) { $0.values.removeValue(forKey: key) != nil }
        guard was == expected else { throw Mismatch(what: "delete said \(was)") }
    }

    private mutating func appendedRun() -> SortedRun {
        var run = SortedRun()
        for _ in 0..<random.next(below: 120) {
            run.append(key: appendedKey(nextKey), value: value())
            nextKey += 1
        }
        return run
    }

    private mutating func scatteredRun() -> SortedRun {
        var keys: Set<[UInt8]> = []
        for _ in 0..<random.next(below: 60) { keys.insert(key()) }
        var run = SortedRun()
        for key in sorted(keys) { run.append(key: key, value: value()) }
        return run
    }

    private mutating func putRun(
        _ bucket: WritableBucket, _ model: inout Model, _ path: [[UInt8]], run: SortedRun
    ) throws {
        try bucket.putSorted(run)
        model.change(path) {
            for index in 0..<run.count { $0.values[Array(run.key(at: index))] = Array(run.value(at: index)) }
        }
    }

    private mutating func deleteRun(_ bucket: WritableBucket, _ model: inout Model, _ path: [[UInt8]]) throws {
        // A stretch of the key space, appended or scattered keys, all or every second or third of them.
        let isAppended = random.chance(1, in: 2)
        let start = isAppended ? random.next(below: Int(nextKey)) : random.next(below: 3000)
        let from = isAppended ? appendedKey(UInt64(start)) : scatteredKey(start)
        let to = isAppended ? appendedKey(UInt64(start + 400)) : scatteredKey(start + 400)
        let keys = sorted(
            model.inner(path)?.values.keys.filter {
                !$0.lexicographicallyPrecedes(from) && $0.lexicographicallyPrecedes(to)
            } ?? [])
        let every = random.next(below: 3) + 1
        var run = SortedRun()
        for (index, key) in keys.enumerated() where index % every == 0 { run.append(key: key) }
        let removed = try bucket.deleteSorted(run)
        guard removed == run.count else { throw Mismatch(what: "removed \(removed) of \(run.count)") }
        model.change(path) { for index in 0..<run.count { $0.values[Array(run.key(at: index))] = nil } }
    }
}

struct Mismatch: Error {
    var what: String
}

/// Options for a file on the simulated disk.
func smallOptions(pageSize: Int = 4096) -> Database.Options {
    var options = Database.Options()
    options.pageSize = pageSize
    options.mapCapacity = 256 << 20
    return options
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// The long form of tests that have one: where `MARTLET_SOAK` is set.
let isSoak = ProcessInfo.processInfo.environment["MARTLET_SOAK"] != nil
