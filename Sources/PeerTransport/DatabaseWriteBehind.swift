internal import Base
package import NIOCore
package import NIOPosix
package import Platform

/// A database that comes in from another member, on its way to the disk: written by a thread of the pool, all that has
/// come in meanwhile at once, while another one syncs what has been written, so that little is left to sync at the end.
/// Used on its event loop only.
package final class DatabaseWriteBehind {
    private let storage: SnapshotStorage
    private let number: Int
    private let threads: NIOThreadPool
    private let eventLoop: any EventLoop
    private let pause: (Bool) -> Void
    private let failed: (any Error) -> Void

    private var file: (any DiskFile)?
    private var pending: [ByteBuffer] = []
    private var pendingBytes = 0
    private var isPaused = false
    private var isWriting = false
    private var isSyncing = false
    /// Bytes from the start of the file that have been written.
    private var written: Int64 = 0
    /// Bytes from the start of the file that have been synced, or are being synced.
    private var synced: Int64 = 0
    private var stage = Stage.taking

    private enum Stage {
        case taking
        /// All has come in; what is left is written and synced.
        case finishing(Ending, (Result<Database, any Error>) -> Void)
        /// Nothing more is done, but that a thread which is busy with the file comes to its end.
        case over
    }

    /// What becomes of a database that is complete. Run by a thread of the pool; when it returns the database is
    /// durable.
    package typealias Ending = @Sendable (SnapshotStorage, any DiskFile) throws -> Void

    /// A database that has come in completely.
    package struct Database: Sendable {
        /// Of the file under its first name.
        package var path: String
        package var bytes: Int64
    }

    /// A body without a database in it.
    package struct Missing: Error, CustomStringConvertible {
        package var description: String { "no database" }
    }

    /// - Parameters:
    ///   - number: tells files apart that come in at the same time.
    ///   - pause: called with true when more is taken in than the disk keeps up with, and with false when it has caught
    ///     up.
    ///   - failed: called at most once, and not after `finish`: it could not be written and has been removed.
    package init(
        _ storage: SnapshotStorage, number: Int, threads: NIOThreadPool, eventLoop: any EventLoop,
        pause: @escaping (Bool) -> Void, failed: @escaping (any Error) -> Void
    ) {
        self.storage = storage
        self.number = number
        self.threads = threads
        self.eventLoop = eventLoop
        self.pause = pause
        self.failed = failed
    }

    /// Takes in what comes next.
    package func take(_ bytes: ByteBuffer) {
        guard case .taking = stage, bytes.readableBytes > 0 else { return }
        pendingBytes += bytes.readableBytes
        pending.append(bytes)
        if !isPaused, pendingBytes >= PeerLimits.snapshotBufferBytes { setPaused(true) }
        writeOn()
    }

    /// All has come in.
    /// - Parameter done: called once, with the error if it is not durable; it has been removed then.
    package func finish(_ ending: @escaping Ending, done: @escaping (Result<Database, any Error>) -> Void) {
        guard case .taking = stage else { return }
        stage = .finishing(ending, done)
        writeOn()
    }

    /// Nobody wants it any more: the file is removed, and nothing further is told. One that has come in and been
    /// written completely is ended all the same.
    package func discard() {
        stage = .over
        pending = []
        pendingBytes = 0
        removeFile()
    }

    private func setPaused(_ paused: Bool) {
        isPaused = paused
        pause(paused)
    }

    // MARK: Writing

    private func writeOn() {
        guard !isWriting else { return }
        if pending.isEmpty { return endOn() }
        isWriting = true
        let chunks = pending
        pending = []
        let (storage, number, known, start) = (storage, number, file, written)
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        threads.runIfActive(eventLoop: eventLoop) {
            let file = try known ?? storage.create(number)
            var offset = start
            do {
                for chunk in chunks {
                    try file.write(chunk.readableBytesSpan, at: offset)
                    offset += Int64(chunk.readableBytes)
                }
            } catch {
                // Nobody else knows the file yet.
                if known == nil { storage.discard(file) }
                throw error
            }
            return Written(file: file, bytes: Int(offset - start))
        }.whenComplete { bound.value.wrote($0) }
    }

    private struct Written: Sendable {
        var file: any DiskFile
        var bytes: Int
    }

    private func wrote(_ result: Result<Written, any Error>) {
        isWriting = false
        switch result {
        case .failure(let error): fail(error)
        case .success(let result):
            file = result.file
            written += Int64(result.bytes)
            if case .over = stage { return removeFile() }
            pendingBytes -= result.bytes
            // Half of it is free again: the socket is not told of every chunk.
            if isPaused, pendingBytes <= PeerLimits.snapshotBufferBytes / 2 { setPaused(false) }
            syncOn()
            writeOn()
        }
    }

    private func syncOn() {
        guard !isSyncing, let file, written - synced >= PeerLimits.snapshotSyncBytes else { return }
        isSyncing = true
        synced = written
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        threads.runIfActive(eventLoop: eventLoop) { try file.syncData() }
            .whenComplete { bound.value.didSync($0) }
    }

    private func didSync(_ result: Result<Void, any Error>) {
        isSyncing = false
        if case .over = stage { return }
        if case .failure(let error) = result { return fail(error) }
        syncOn()
        writeOn()
    }

    // MARK: The end

    private func endOn() {
        // The kernel tells of a failure once: the last sync would not know what another one was told.
        guard !isSyncing, case .finishing(let ending, let done) = stage else { return }
        guard let file else { return fail(Missing()) }
        stage = .over
        isWriting = true
        let storage = storage
        let database = Database(path: file.path, bytes: written)
        let bound = NIOLoopBound((self, done), eventLoop: eventLoop)
        threads.runIfActive(eventLoop: eventLoop) { try ending(storage, file) }
            .whenComplete { result in
                let (writer, done) = bound.value
                writer.isWriting = false
                switch result {
                case .success: writer.file = nil
                case .failure: writer.removeFile()
                }
                done(result.map { database })
            }
    }

    private func fail(_ error: any Error) {
        let stage = stage
        discard()
        switch stage {
        case .taking: failed(error)
        case .finishing(_, let done): done(.failure(error))
        case .over: break
        }
    }

    private func removeFile() {
        guard !isWriting, let file = file.take() else { return }
        let storage = storage
        threads.submit { _ in storage.discard(file) }
    }
}
