/// When pages are moved from the end of the file into free ones, and how much of the file is cut off.
///
/// A *sweep* goes once through all trees in the order of their keys, a little with each commit. It moves every page
/// that lies behind `cutoff` to the lowest free place, and joins neighbouring leaves that deletes have left half empty.
/// Pages have no pointers to their parents, so the way to them is always down from the root. When the sweep has ended
/// the file is free behind the cutoff, up to what was written there meanwhile, and commits cut it.
///
/// A sweep begins when the file has become much longer than what is in use, or the pages much emptier, and something
/// has changed since the last one: so the work is always in proportion to what was freed, and ends.
struct Reclaim: Sendable {
    /// Where the sweep goes on: a key, and if more follow, the bucket of that name and the place in it. Nil when none
    /// runs.
    private(set) var position: [[UInt8]]?
    /// Pages from here on are moved.
    private(set) var cutoff: UInt64 = 0
    /// Pages that came free since the last sweep began, without those that the sweep has moved.
    private var releasedPages = 0
    /// Bytes deleted since the last sweep began.
    private var looseBytes = 0
    /// Commits until all pages that the sweep freed can be cut off.
    private var settling = 0
    /// A sweep has ended, and its pages are about to come free.
    var isSettling: Bool { settling > 0 }
    /// Cutting has failed once; the file keeps its length until it is opened again.
    var isCutRefused = false

    /// Pages for commits to come, so that they need not make the file longer at once.
    private static let slack = 16
    /// The most that a commit cuts off, in bytes: a file system frees blocks one extent after the other.
    private static let cutStep: Int64 = 16 << 20
    /// Free pages at the end that are worth a commit which changes nothing else.
    static let worthCutting = 32

    mutating func released(_ pages: Int) { releasedPages += pages }
    mutating func loosened(_ bytes: Int) { looseBytes += bytes }
    mutating func commitEnded() { settling = max(0, settling - 1) }

    // MARK: The sweep

    private static func goal(_ pagesInUse: Int) -> Int { pagesInUse + pagesInUse / 32 + slack }

    /// - Parameter coming: pages that come free with the next commits, because no reader needs them.
    func isDue(pagesInUse: Int, pageCount: UInt64, pageSize: Int, coming: Int = 0) -> Bool {
        let goal = Reclaim.goal(pagesInUse)
        let isLong =
            Int(pageCount) > goal + goal / 10 && releasedPages + coming >= Reclaim.slack + pagesInUse / 16
        let isLoose = looseBytes > max(Reclaim.slack, pagesInUse / 8) * pageSize
        return isLong || isLoose
    }

    func hasWork(pagesInUse: Int, pageCount: UInt64, pageSize: Int, coming: Int) -> Bool {
        position != nil || settling > 0
            || isDue(pagesInUse: pagesInUse, pageCount: pageCount, pageSize: pageSize, coming: coming)
    }

    /// Begins a sweep, unless one runs.
    mutating func begin(pagesInUse: Int) {
        guard position == nil else { return }
        position = []
        cutoff = UInt64(Reclaim.goal(pagesInUse))
        releasedPages = 0
        looseBytes = 0
    }

    /// Notes how far a commit has come.
    /// - Parameters:
    ///   - position: where to go on; nil at the end.
    ///   - moved: pages that it moved, which will come free without that anything has become less.
    mutating func advance(to position: [[UInt8]]?, moved: Int) {
        self.position = position
        releasedPages -= moved
        // What the last step freed is released one commit later, and cut off by the one after that.
        if position == nil { settling = 4 }
    }

    // MARK: The file's length

    /// Bytes by which the file is made longer than needed, so that not every commit changes its length: a sixteenth, at
    /// least 16 pages and at most 16 MiB. They are a hole and take no space on the disk.
    static func growth(_ needed: Int64, pageSize: Int) -> Int64 {
        let pageSize = Int64(pageSize)
        return min(16 << 20, max(16 * pageSize, needed / 16)) / pageSize * pageSize
    }

    /// The length to which a file should be cut now; nil if it is not worth it.
    /// - Parameter shortest: bytes that somebody may still read.
    func cutLength(fileSize: Int64, shortest: Int64, pageSize: Int) -> Int64? {
        let room = Reclaim.growth(shortest, pageSize: pageSize)
        guard !isCutRefused, fileSize > shortest + room + room / 2 else { return nil }
        return max(shortest + room / 2 / Int64(pageSize) * Int64(pageSize), fileSize - Reclaim.cutStep)
    }
}
