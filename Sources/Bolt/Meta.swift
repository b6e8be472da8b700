internal import Platform

/// The content of a meta page: one committed version of the database.
struct Meta: Equatable, Sendable {
    static let magic: UInt32 = 0xED0C_DAED
    static let version: UInt32 = 2
    /// Bytes of the fields behind the page header, checksum included.
    static let byteCount = 64
    /// Bytes at the start of a meta page that mean something: header, fields, and our addition.
    static let readCount = Layout.pageHeader + byteCount + MetaAddition.byteCount

    var pageSize: Int
    /// Root page of the root bucket.
    var root: UInt64
    var rootSequence: UInt64 = 0
    var freelist: UInt64 = Layout.noFreelist
    /// The high-water mark: the first page id never used.
    var pageCount: UInt64
    var transactionID: UInt64
    /// What this library adds; nil when bbolt has written the page.
    var addition: MetaAddition?

    /// The page that holds this version.
    var page: UInt64 { transactionID % 2 }

    /// The page header and the fields, as they are written at the start of page `page`.
    func encoded(page: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Meta.readCount)
        func put<T: FixedWidthInteger>(_ value: T) {
            for i in 0..<(T.bitWidth / 8) { bytes.append(UInt8(truncatingIfNeeded: value >> T(8 * i))) }
        }
        put(page)
        put(Layout.metaFlag)
        put(UInt16(0))
        put(UInt32(0))
        put(Meta.magic)
        put(Meta.version)
        put(UInt32(pageSize))
        put(UInt32(0))
        put(root)
        put(rootSequence)
        put(freelist)
        put(pageCount)
        put(transactionID)
        put(fnv1a(bytes[Layout.pageHeader...]))
        if let addition {
            let start = bytes.count
            put(MetaAddition.magic)
            put(transactionID)
            put(UInt64(addition.isSealed ? 1 : 0))
            put(addition.pagesInUse)
            put(fnv1a(bytes[start...]))
        }
        return bytes
    }

    /// Reads the fields at the start of a meta page.
    static func decode(_ page: [UInt8], file: String) throws(BoltError) -> Meta {
        guard page.count >= Layout.pageHeader + byteCount else {
            throw .invalidDatabase(file: file, reason: "the file ends inside a meta page")
        }
        func get<T: FixedWidthInteger>(_ offset: Int, as type: T.Type) -> T {
            var value: T = 0
            for i in 0..<(T.bitWidth / 8) { value |= T(page[Layout.pageHeader + offset + i]) << T(8 * i) }
            return value
        }
        let found = get(0, as: UInt32.self)
        guard found == magic else {
            let reason = "expected magic number \(hex(UInt64(magic))) at offset 16, found \(hex(UInt64(found)))"
            throw .invalidDatabase(file: file, reason: reason)
        }
        guard get(4, as: UInt32.self) == version else {
            throw .versionMismatch(file: file, found: get(4, as: UInt32.self))
        }
        let sum = fnv1a(page[Layout.pageHeader..<Layout.pageHeader + 56])
        guard get(56, as: UInt64.self) == sum else {
            throw .checksumError(file: file, expected: sum, found: get(56, as: UInt64.self))
        }
        var meta = Meta(
            pageSize: Int(get(8, as: UInt32.self)), root: get(16, as: UInt64.self),
            rootSequence: get(24, as: UInt64.self), freelist: get(32, as: UInt64.self),
            pageCount: get(40, as: UInt64.self), transactionID: get(48, as: UInt64.self))
        // Without its checksum, or from another transaction, the addition says nothing.
        if page.count >= readCount, get(64, as: UInt64.self) == MetaAddition.magic,
            get(72, as: UInt64.self) == meta.transactionID,
            get(96, as: UInt64.self) == fnv1a(page[Layout.pageHeader + 64..<Layout.pageHeader + 96])
        {
            meta.addition = MetaAddition(
                isSealed: get(80, as: UInt64.self) & 1 != 0, pagesInUse: get(88, as: UInt64.self))
        }
        return meta
    }

    /// The newer of the valid meta pages, and the older one if it is valid too.
    ///
    /// The page size is in the meta pages themselves: when page 0 is damaged, every place where page 1 can be is tried.
    /// When neither is valid the error is that of page 0; when one is, `damage` says what is wrong with the other.
    static func load(
        _ file: any DiskFile
    ) throws(BoltError) -> (newest: Meta, older: Meta?, damage: BoltError?) {
        let count = readCount
        let first = try onDisk { () throws(DiskError) in try file.read(at: 0, count: count) }
        var metas: [Meta] = []
        var failure: BoltError?
        do { metas.append(try decode(first, file: file.path)) } catch { failure = error }
        if let size = metas.first?.pageSize {
            let second = try onDisk { () throws(DiskError) in try file.read(at: Int64(size), count: count) }
            do throws(BoltError) {
                let meta = try decode(second, file: file.path)
                if meta.pageSize == size { metas.append(meta) }
            } catch { failure = error }
        } else {
            var size = Layout.pageSizes.lowerBound
            while metas.isEmpty, size <= 1024 << 14 {
                let second = try onDisk { () throws(DiskError) in try file.read(at: Int64(size), count: count) }
                if let meta = try? decode(second, file: file.path), meta.pageSize == size { metas.append(meta) }
                size *= 2
            }
        }
        metas.sort { $0.transactionID > $1.transactionID }
        guard let newest = metas.first else {
            throw failure ?? .invalidDatabase(file: file.path, reason: "no meta page")
        }
        return (newest, metas.count > 1 ? metas[1] : nil, failure)
    }

    /// Refuses what no writer produces, before anything is read by it.
    func validate(file: String, fileSize: Int64) throws(BoltError) {
        func refuse(_ reason: String) -> BoltError { .corrupted(file: file, page: page, reason: reason) }
        guard Layout.isPageSize(pageSize) else {
            throw refuse("page size \(pageSize), expected a power of two in \(Layout.pageSizes)")
        }
        guard pageCount > Layout.firstPage, pageCount <= UInt64(fileSize) / UInt64(pageSize) else {
            throw refuse("\(pageCount) pages of \(pageSize) bytes, but the file has \(fileSize) bytes")
        }
        guard root >= Layout.firstPage, root < pageCount else {
            throw refuse("root page \(root) of \(pageCount) pages")
        }
        guard freelist == Layout.noFreelist || (freelist >= Layout.firstPage && freelist < pageCount) else {
            throw refuse("freelist page \(freelist) of \(pageCount) pages")
        }
        guard transactionID < .max else { throw refuse("transaction id out of range") }
    }
}

/// What this library keeps in a meta page behind bbolt's fields. bbolt writes zeros there, so it belongs to versions
/// that this library has committed.
struct MetaAddition: Equatable, Sendable {
    /// `MartletM` in ASCII, read as a little-endian number.
    static let magic: UInt64 = 0x4D74_656C_7472_614D
    static let byteCount = 40

    /// Every page that the version reaches has a seal, so one without is damaged.
    var isSealed: Bool
    /// Pages that the version reaches, meta pages and stored freelist included.
    var pagesInUse: UInt64
}
