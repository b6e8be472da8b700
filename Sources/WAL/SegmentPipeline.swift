public import Platform
internal import Synchronization

/// Makes the next segment ahead of need, so that a cut does not wait for the file system.
///
/// Any thread may call `prepare` while the log's own thread writes: typically a helper thread does so when the log was
/// opened and after each save that reports a cut. A log whose pipeline is never prepared makes its segments itself.
public final class SegmentPipeline: Sendable {
    private struct State {
        var ready: PreparedSegment?
        /// The files are called 0.tmp and 1.tmp in turn, so that the one in use is never the one being made.
        var made = 0
        var closed = false
    }

    private let disk: any Disk
    private let directory: String
    private let size: Int64
    private let state = Mutex(State())

    init(disk: any Disk, directory: String, size: Int64) {
        self.disk = disk
        self.directory = directory
        self.size = size
    }

    /// Makes a segment unless one is ready: a file of zeros of the segment's size, with its blocks allocated. A cut
    /// that comes meanwhile waits for it.
    public func prepare() throws(DiskError) {
        try state.withLock { state throws(DiskError) in
            if state.closed || state.ready != nil { return }
            state.ready = try make(&state)
        }
    }

    /// The segment that is ready, or else a new one.
    func take() throws(DiskError) -> PreparedSegment {
        try state.withLock { state throws(DiskError) in
            if let ready = state.ready.take() { return ready }
            return try make(&state)
        }
    }

    private func make(_ state: inout State) throws(DiskError) -> PreparedSegment {
        let path = join(directory, "\(state.made % 2).tmp")
        // One that a crash left may have a head already.
        let file = try disk.open(path, .truncate)
        do throws(DiskError) {
            try file.lock(.openFileDescription)
            try file.allocate(upTo: size)
        } catch {
            try? file.close()
            try? disk.remove(path)
            throw error
        }
        state.made += 1
        return PreparedSegment(path: path, file: file)
    }

    /// Removes a segment that was not needed.
    func close() {
        state.withLock { state in
            state.closed = true
            guard let ready = state.ready.take() else { return }
            try? ready.file.close()
            try? disk.remove(ready.path)
        }
    }
}

struct PreparedSegment: Sendable {
    var path: String
    var file: any DiskFile
}
