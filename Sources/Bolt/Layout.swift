/// Sizes and flags of the file format; see docs/formats/bolt.md.
enum Layout {
    static let pageHeader = 16
    static let element = 16
    static let bucketHeader = 16

    static let branchFlag: UInt16 = 0x01
    static let leafFlag: UInt16 = 0x02
    static let metaFlag: UInt16 = 0x04
    static let freelistFlag: UInt16 = 0x10
    /// In a leaf element's flags: the value is a bucket.
    static let bucketFlag: UInt32 = 0x01

    static let maxKeyCount = 32768
    static let maxValueCount = (1 << 31) - 2

    /// The first page that is not a meta page.
    static let firstPage: UInt64 = 2
    /// The freelist's page id in the meta page when it is not stored.
    static let noFreelist = UInt64.max

    static let pageSizes = 1024...65536

    /// Levels of pages and nested buckets from the root down. Two children to a page allow 2^48 pages in 48 levels;
    /// what is deeper is a cycle.
    static let maxDepth = 64

    static func isPageSize(_ size: Int) -> Bool { pageSizes.contains(size) && size & (size - 1) == 0 }

    /// A bucket whose page image is at most this long is stored inline in its parent.
    static func maxInlineCount(pageSize: Int) -> Int { pageSize / 4 }
}

/// FNV-1a, 64 bits: the meta pages' checksum.
func fnv1a(_ bytes: some Sequence<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    return hash
}
