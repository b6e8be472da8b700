internal import Bolt

/// A copy of one committed version of the backend's file, taken in pieces while commits go on: what a saved snapshot is
/// made of. The pieces are those of a complete file of its own. Safe to use from any thread.
public final class BackendCopy: Sendable {
    private let image: FileImage

    init(_ image: FileImage) { self.image = image }

    /// Bytes of the whole copy.
    public var size: Int64 { image.size }

    /// A piece of the copy; pieces may be taken in any size and order. O(count), with a read from the disk.
    /// - Returns: `count` bytes from `offset`, fewer only at the end.
    /// - Throws: also when the copy has held up the file's space for too long.
    public func read(at offset: Int64, count: Int) throws(BackendError) -> [UInt8] {
        do throws(BoltError) { return try image.read(at: offset, count: count) } catch { throw BackendError(error) }
    }

    /// The same, appended to memory of the caller's, which must have room for `count` bytes. When it throws, what was
    /// appended is of no use.
    public func read(at offset: Int64, count: Int, into output: inout OutputRawSpan) throws(BackendError) {
        do throws(BoltError) { try image.read(at: offset, count: count, into: &output) } catch {
            throw BackendError(error)
        }
    }

    /// Lets go of the version; a second call does nothing.
    public func close() { image.close() }
}

extension BackendFile {
    /// Begins to copy the last committed version.
    /// - Parameter name: what the copy is called where long readers are reported.
    public func beginCopy(named name: String) throws(BackendError) -> BackendCopy {
        do throws(BoltError) { return BackendCopy(try database.beginCopy(named: name)) } catch {
            throw BackendError(error)
        }
    }
}
