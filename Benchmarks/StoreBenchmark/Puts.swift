internal import Base
internal import Bolt
internal import PlatformLinux

let batchSize = 10_000
let total = 1_000_000

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// The key of a row: revision, `_`, sub revision.
func rowKey(_ main: Int) -> [UInt8] {
    var key = [UInt8](repeating: 0, count: 17)
    for i in 0..<8 { key[i] = UInt8(truncatingIfNeeded: main >> (56 - 8 * i)) }
    key[8] = 0x5F
    return key
}

/// A million rows in batches of 10,000, both syncs of each commit included.
func fillRows(_ database: Database) throws {
    let value = [UInt8](repeating: 0x61, count: 256)
    var run = SortedRun()
    for batch in 0..<total / batchSize {
        run.removeAll(keepingCapacity: true)
        for main in batch * batchSize..<(batch + 1) * batchSize { run.append(key: rowKey(main), value: value) }
        let transaction = try database.beginWrite()
        try transaction.createBucketIfMissing(bytes("key"))
        try transaction.createBucketIfMissing(bytes("meta")).put(bytes("consistent_index"), rowKey(batch))
        try transaction.putSorted(run, in: bytes("key"))
        try transaction.commit()
    }
}

/// Puts, random gets, a scan, scattered deletes, an open.
func measurePuts(_ scratch: Scratch) throws {
    let path = scratch.path + "/db"
    let database = try Database.open(path, on: LinuxDisk())
    let puts = try seconds { try fillRows(database) }
    print("puts, 256 bytes, batches of 10,000, synced: \(Int(Double(total) / puts)) /s")
    print("file: \(try fileSize(path)) bytes, in use \(database.statistics.bytesInUse)")

    let read = try database.beginRead()
    guard let bucket = try read.bucket(bytes("key")) else { return print("no bucket") }
    for seed in [1, 2, 3] as [UInt64] { try measureGets(bucket, seed: seed) }
    var rows = 0
    let scan = try seconds {
        var cursor = bucket.cursor()
        var more = try cursor.first()
        while more {
            rows += try cursor.withItem { (_, value) throws(BoltError) in value.count == 256 ? 1 : 0 }
            more = try cursor.next()
        }
    }
    precondition(rows == total)
    print("rows scanned: \(Int(Double(rows) / scan)) /s")
    read.close()
    var problems: [Problem] = []
    let check = try seconds { problems = try database.check() }
    precondition(problems.isEmpty)
    print("full check: \(check) s")
    try database.close()
    var reopened: Database?
    let open = try seconds { reopened = try Database.open(path, on: LinuxDisk()) }
    print("open with the check of every page: \(open) s")
    if let reopened { try measureDeletes(reopened) }
}

private func measureDeletes(_ database: Database) throws {
    var commits = Timings()
    var removed = 0
    var run = SortedRun()
    let time = try seconds {
        for start in stride(from: 0, to: total, by: 2 * batchSize) {
            run.removeAll(keepingCapacity: true)
            for main in stride(from: start, to: start + 2 * batchSize, by: 2) { run.append(key: rowKey(main)) }
            let transaction = try database.beginWrite()
            removed += try transaction.deleteSorted(run, in: bytes("key"))
            try commits.measure { try transaction.commit() }
        }
    }
    print("scattered deletes: \(Int(Double(removed) / time)) /s; commits: \(commits.summary)")
    try database.close()
}

/// Random gets: the keys are made before.
private func measureGets(_ bucket: Bucket, seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let keys = (0..<500_000).map { _ in rowKey(random.next(below: total)) }
    var found = 0
    let start = Timings.threadTime()
    let gets = try seconds {
        for key in keys {
            found += try bucket.withValue(for: key) { (value) throws(BoltError) in value.count } ?? 0
        }
    }
    let processor = Double(Timings.threadTime() - start) * 1e-9
    precondition(found == keys.count * 256)
    print(
        "random gets: \(Int(Double(keys.count) / gets)) /s, \(Int(Double(keys.count) / processor)) /s of the processor")
}

/// Copies of a version in pieces of 1 MiB, alone and while commits go on.
func measureCopy(_ scratch: Scratch) throws {
    let database = try Database.open(scratch.path + "/db", on: LinuxDisk())
    try fillRows(database)
    func copy(_ between: () throws -> Void) throws -> (bytes: Int64, time: Double) {
        let image = try database.beginCopy()
        defer { image.close() }
        var position: Int64 = 0
        var time = 0.0
        while position < image.size {
            time += try seconds { position += Int64(try image.read(at: position, count: 1 << 20).count) }
            try between()
        }
        return (position, time)
    }
    let quiet = try copy {}
    print("copy: \(Int(Double(quiet.bytes) / quiet.time) >> 20) MiB/s")
    var main = total
    let busy = try copy {
        let transaction = try database.beginWrite()
        var run = SortedRun()
        for _ in 0..<100 {
            run.append(key: rowKey(main), value: [UInt8](repeating: 1, count: 256))
            main += 1
        }
        try transaction.putSorted(run, in: bytes("key"))
        try transaction.commit()
    }
    print("copy between commits: \(Int(Double(busy.bytes) / busy.time) >> 20) MiB/s")
}
