internal import Bolt

/// A committed version of the backend file as a file of its own, taken in pieces while commits go on: what a raft
/// snapshot and a saved one carry. Safe to use from any thread; ends when the last reference is gone.
public final class DatabaseCopy: Sendable {
    private let image: FileImage

    fileprivate init(_ image: FileImage) { self.image = image }

    /// In bytes.
    public var size: Int64 { image.size }

    /// `count` bytes from `offset`, fewer only at the end. Blocks for the disk. O(count).
    public func read(at offset: Int64, count: Int) throws(BackendError) -> [UInt8] {
        do throws(BoltError) { return try image.read(at: offset, count: count) } catch { throw BackendError(error) }
    }

    /// Lets go of the version early; a second call does nothing.
    public func close() { image.close() }
}

extension BackendFile {
    /// Begins to copy the last committed version.
    /// - Parameter name: what the copy is called among the file's readers.
    public func beginCopy(named name: String) throws(BackendError) -> DatabaseCopy {
        do throws(BoltError) { return DatabaseCopy(try database.beginCopy(named: name)) } catch {
            throw BackendError(error)
        }
    }
}
