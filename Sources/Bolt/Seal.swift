/// The checksum in the last bytes of every page that this library writes, where bbolt keeps nothing: a mark and a
/// checksum of all bytes before it, the mark included. bbolt neither reads nor keeps it, so a page without a mark is
/// one that bbolt has written. Format: docs/formats/bolt.md, "Seal".
enum Seal: Equatable {
    case missing
    case whole
    case broken(expected: UInt64, found: UInt64)

    /// Bytes of mark and checksum.
    static let byteCount = 16
    /// `martlet1` in ASCII, read as a little-endian number.
    static let mark: UInt64 = 0x3174_656C_7472_616D
}

extension PageBytes {
    /// The state of the seal of a whole page with its overflow.
    /// - Complexity: O(bytes) when there is one.
    var seal: Seal {
        guard u64(at: count - Seal.byteCount) == Seal.mark else { return .missing }
        let found = u64(at: count - 8)
        let expected = checksum(count - 8)
        return found == expected ? .whole : .broken(expected: expected, found: found)
    }
}

extension PageWriter {
    /// Ends a page: zeros from `offset`, up to which it is filled, and the seal.
    func finish(from offset: Int) {
        zero(from: offset)
        seal()
    }

    /// Puts the seal at the end of a page whose other bytes are final.
    func seal() {
        put(Seal.mark, at: count - Seal.byteCount)
        put(bytes.checksum(count - 8), at: count - 8)
    }
}

extension Page {
    /// Whether the page has a seal.
    /// - Throws: `.corrupted` if the seal does not fit the page.
    /// - Complexity: O(bytes).
    func checkSeal() throws(BoltError) -> Bool {
        switch bytes.seal {
        case .missing: return false
        case .whole: return true
        case .broken(let expected, let found):
            throw corrupted("checksum of the page: expected \(hex(expected)), found \(hex(found))")
        }
    }
}
