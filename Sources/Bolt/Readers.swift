internal import Synchronization

/// An open read transaction, as the database keeps it in its list.
final class Reader: Sendable {
    /// What its owner called it.
    let name: String
    let transactionID: UInt64
    let pageCount: UInt64
    /// It only ever copies bytes out of the file and looks at `isExpired` afterwards, so its pages can be taken away at
    /// any time.
    let copiesOnly: Bool
    /// It held up too many pages: what it reads from now on is refused.
    let isExpired = Atomic<Bool>(false)

    init(name: String, meta: Meta, copiesOnly: Bool) {
        self.name = name
        transactionID = meta.transactionID
        pageCount = meta.pageCount
        self.copiesOnly = copiesOnly
    }
}

/// What an open read transaction keeps from being reused.
public struct ReaderReport: Equatable, Sendable {
    /// What its owner called it.
    public var name: String
    /// The version that it reads.
    public var transactionID: UInt64
    /// Versions committed since.
    public var versionsBehind: UInt64
    /// Bytes of pages that no newer version uses and that wait for this reader and older ones.
    public var heldBytes: Int64
    /// It has held up more than `Database.Options.maxHeldBytes` and is refused; its pages wait until it is closed.
    public var isExpired: Bool
}

/// The open read transactions, oldest version first.
struct ReaderList {
    private var readers: [Reader] = []

    var count: Int { readers.count }
    /// The oldest version that is being read.
    var oldest: UInt64? { readers.first?.transactionID }
    /// The most pages that any of the versions being read has.
    var maxPageCount: UInt64 { readers.reduce(0) { max($0, $1.pageCount) } }
    /// The readers that will still be there after the next commit, as far as one can tell: who reads the version just
    /// before `current` is about to take the newest.
    func lasting(current: UInt64) -> ReaderList {
        var list = ReaderList()
        list.readers = readers.filter { $0.transactionID + 1 != current }
        return list
    }

    /// - Precondition: the reader's version is the newest.
    mutating func add(_ reader: Reader) {
        precondition(readers.last.map { $0.transactionID <= reader.transactionID } ?? true)
        readers.append(reader)
    }

    mutating func remove(_ reader: Reader) {
        guard let index = readers.firstIndex(where: { $0 === reader }) else { return }
        readers.remove(at: index)
    }

    /// Turns away the readers that hold up more than `limit` pages; those that only copy are out of the list with that.
    mutating func expire(over limit: Int, _ free: FreePages) {
        for reader in readers {
            // The later readers hold up no more than this one.
            guard free.pendingCount(after: reader.transactionID) > limit else { break }
            reader.isExpired.store(true, ordering: .releasing)
        }
        readers.removeAll { $0.copiesOnly && $0.isExpired.load(ordering: .relaxed) }
    }

    func reports(current: UInt64, _ free: FreePages, pageSize: Int) -> [ReaderReport] {
        readers.map { reader in
            ReaderReport(
                name: reader.name, transactionID: reader.transactionID,
                versionsBehind: current - reader.transactionID,
                heldBytes: Int64(free.pendingCount(after: reader.transactionID)) * Int64(pageSize),
                isExpired: reader.isExpired.load(ordering: .relaxed))
        }
    }
}
