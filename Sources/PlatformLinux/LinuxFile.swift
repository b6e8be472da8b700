internal import Glibc
internal import Platform
internal import Synchronization

/// An open file descriptor.
///
/// `uses` lets any thread close the file while others are inside a call: the descriptor is given back to the kernel by
/// whoever comes last, so that none of them meets a stranger's file under a reused number.
final class LinuxFile: DiskFile {
    let path: String
    private let descriptor: Int32
    /// The calls that are running; plus `closedMark` once the file is closed.
    private let uses = Atomic<Int>(0)
    private static let closedMark = 1 << 40

    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit {
        if uses.load(ordering: .acquiring) & LinuxFile.closedMark == 0 { unlockAndClose() }
    }

    private func use<R>(_ operation: String, _ body: (Int32) throws(DiskError) -> R) throws(DiskError) -> R {
        let before = uses.add(1, ordering: .acquiringAndReleasing).oldValue
        defer {
            if uses.subtract(1, ordering: .acquiringAndReleasing).newValue == LinuxFile.closedMark { release() }
        }
        guard before & LinuxFile.closedMark == 0 else { throw DiskError(.closed, operation: operation, path: path) }
        return try body(descriptor)
    }

    /// Closes the descriptor, once, when the file is closed and no call is running.
    private func release() {
        let (won, _) = uses.compareExchange(
            expected: LinuxFile.closedMark, desired: LinuxFile.closedMark * 2 + LinuxFile.closedMark,
            ordering: .acquiringAndReleasing)
        if won { unlockAndClose() }
    }

    /// A mapping keeps the open file description alive, and with it the lock that `flock` gave to it; so the lock is
    /// taken back by hand.
    private func unlockAndClose() {
        _ = flock(descriptor, LOCK_UN)
        Glibc.close(descriptor)
    }

    func size() throws(DiskError) -> Int64 {
        try use("fstat") { descriptor throws(DiskError) in
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw lastError("fstat", path) }
            return Int64(status.st_size)
        }
    }

    func isDirectory() throws(DiskError) -> Bool {
        try use("fstat") { descriptor throws(DiskError) in
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw lastError("fstat", path) }
            return status.st_mode & S_IFMT == S_IFDIR
        }
    }

    func read(at offset: Int64, count: Int) throws(DiskError) -> [UInt8] {
        precondition(offset >= 0 && count >= 0)
        return try use("read") { descriptor throws(DiskError) in
            var failure: DiskError?
            let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
                // SAFETY: the buffer has `count` bytes.
                let memory = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
                (done, failure) = fill(memory, from: descriptor, at: offset)
            }
            if let failure { throw failure }
            return bytes
        }
    }

    func read(at offset: Int64, count: Int, into output: inout OutputRawSpan) throws(DiskError) {
        precondition(offset >= 0 && count >= 0 && output.freeCapacity >= count)
        try use("read") { descriptor throws(DiskError) in
            var failure: DiskError?
            output.withUnsafeMutableBytes { buffer, initialized in
                // SAFETY: the precondition says that `count` bytes are free behind those that have been written.
                let memory = UnsafeMutableRawBufferPointer(rebasing: buffer[initialized..<initialized + count])
                let done: Int
                (done, failure) = fill(memory, from: descriptor, at: offset)
                initialized += done
            }
            if let failure { throw failure }
        }
    }

    /// Reads until the memory is full or the file ends.
    /// - Returns: how many bytes were read, and why no more if it was not the file's end.
    private func fill(
        _ memory: UnsafeMutableRawBufferPointer, from descriptor: Int32, at offset: Int64
    ) -> (Int, DiskError?) {
        var done = 0
        while done < memory.count {
            // SAFETY: `done` < the buffer's size, and at most the rest of it is written.
            let n = retryingInterrupts {
                pread(descriptor, memory.baseAddress! + done, memory.count - done, off_t(offset) + done)
            }
            if n == 0 { break }
            guard n > 0 else { return (done, lastError("read", path)) }
            done += n
        }
        return (done, nil)
    }

    func write(_ bytes: RawSpan, at offset: Int64) throws(DiskError) {
        precondition(offset >= 0)
        try use("write") { descriptor throws(DiskError) in
            var failure: DiskError?
            // SAFETY: the span's memory is only read, and only inside the closure.
            bytes.withUnsafeBytes { buffer in
                var done = 0
                while done < buffer.count {
                    let rest = UnsafeRawBufferPointer(rebasing: buffer[done...])
                    let n = retryingInterrupts {
                        pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset) + done)
                    }
                    guard n > 0 else {
                        failure = n == 0 ? systemError(EIO, "write", path) : lastError("write", path)
                        return
                    }
                    done += n
                }
            }
            if let failure { throw failure }
        }
    }

    func syncData() throws(DiskError) {
        try use("fdatasync") { descriptor throws(DiskError) in
            guard retryingInterrupts({ fdatasync(descriptor) }) == 0 else { throw lastError("fdatasync", path) }
        }
    }

    func sync() throws(DiskError) {
        try use("fsync") { descriptor throws(DiskError) in
            guard retryingInterrupts({ fsync(descriptor) }) == 0 else { throw lastError("fsync", path) }
        }
    }

    func allocate(upTo length: Int64) throws(DiskError) {
        try use("fallocate") { descriptor throws(DiskError) in
            // Gives its error back instead of setting errno; where a file system has no fallocate, it writes zeros.
            while true {
                let result = posix_fallocate(descriptor, 0, off_t(length))
                if result == 0 { return }
                guard result == EINTR else { throw systemError(result, "fallocate", path) }
            }
        }
    }

    func truncate(to length: Int64) throws(DiskError) {
        try use("truncate") { descriptor throws(DiskError) in
            guard retryingInterrupts({ ftruncate(descriptor, off_t(length)) }) == 0 else {
                throw lastError("truncate", path)
            }
        }
    }

    func lock(_ kind: LockKind) throws(DiskError) {
        try use("lock") { descriptor throws(DiskError) in
            switch kind {
            case .flock:
                guard retryingInterrupts({ flock(descriptor, LOCK_EX | LOCK_NB) }) == 0 else {
                    throw lastError("flock", path)
                }
            case .openFileDescription:
                var whole = flock()
                whole.l_type = Int16(F_WRLCK)
                whole.l_whence = Int16(SEEK_SET)
                let result = retryingInterrupts { fcntl(descriptor, openFileDescriptionSetLock, &whole) }
                guard result == 0 else {
                    // The kernel may say either EAGAIN or EACCES here.
                    throw systemError(errno == EACCES ? EAGAIN : errno, "fcntl", path)
                }
            }
        }
    }

    func map(capacity: Int) throws(DiskError) -> any DiskMapping {
        precondition(capacity > 0)
        return try use("mmap") { descriptor throws(DiskError) in
            guard let base = mmap(nil, capacity, PROT_READ, MAP_SHARED, descriptor, 0), base != MAP_FAILED else {
                throw lastError("mmap", path)
            }
            // SAFETY: the mapping just made; only LinuxMapping unmaps it.
            return LinuxMapping(base: UnsafeRawPointer(base), capacity: capacity)
        }
    }

    func close() throws(DiskError) {
        let before = uses.bitwiseOr(LinuxFile.closedMark, ordering: .acquiringAndReleasing).oldValue
        guard before & LinuxFile.closedMark == 0 else { throw DiskError(.closed, operation: "close", path: path) }
        if before == 0 { release() }
    }
}

/// `F_OFD_SETLK` of Linux, which the Swift import of fcntl.h leaves out.
private let openFileDescriptionSetLock: Int32 = 37

/// A shared mapping of a file; unmapped by deinitialisation.
final class LinuxMapping: DiskMapping, @unchecked Sendable {
    // SAFETY: both are constants; the memory behind them is read-only and stays mapped as long as this object lives.
    let base: UnsafeRawPointer
    let capacity: Int

    init(base: UnsafeRawPointer, capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: base), capacity) }
}
