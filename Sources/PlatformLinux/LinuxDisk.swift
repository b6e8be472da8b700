internal import Glibc
public import Platform

/// The kernel's file systems. Calls that a signal interrupts are repeated, short reads and writes completed.
public struct LinuxDisk: Disk {
    public init() {}

    public func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        let flags =
            switch mode {
            case .read: O_RDONLY
            case .readWrite: O_RDWR
            case .create: O_RDWR | O_CREAT
            case .truncate: O_RDWR | O_CREAT | O_TRUNC
            }
        let descriptor = retryingInterrupts { Glibc.open(path, flags | O_CLOEXEC, 0o600) }
        guard descriptor >= 0 else { throw lastError("open", path) }
        let file = LinuxFile(descriptor: descriptor, path: path)
        // The kernel itself refuses a directory only when it is opened for writing.
        if mode == .read, try file.isDirectory() { throw systemError(EISDIR, "open", path) }
        return file
    }

    public func list(_ directory: String) throws(DiskError) -> [String] {
        guard let stream = opendir(directory) else { throw lastError("open", directory) }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            // SAFETY: d_name is a zero-terminated string inside the entry, which lives until the next readdir.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw lastError("readdir", directory) }
        // Strings compare by Unicode scalars of their normal form; names are bytes.
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    public func exists(_ path: String) throws(DiskError) -> Bool {
        var status = stat()
        if stat(path, &status) == 0 { return true }
        if errno == ENOENT { return false }
        throw lastError("stat", path)
    }

    public func createDirectory(_ path: String) throws(DiskError) {
        guard mkdir(path, 0o700) == 0 else { throw lastError("mkdir", path) }
    }

    public func rename(_ source: String, to destination: String) throws(DiskError) {
        guard Glibc.rename(source, destination) == 0 else { throw lastError("rename", "\(source) \(destination)") }
    }

    public func remove(_ path: String) throws(DiskError) {
        guard Glibc.remove(path) == 0 else { throw lastError("remove", path) }
    }

    public func syncDirectory(_ path: String) throws(DiskError) {
        let descriptor = retryingInterrupts { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw lastError("open", path) }
        defer { Glibc.close(descriptor) }
        guard retryingInterrupts({ fsync(descriptor) }) == 0 else { throw lastError("fsync", path) }
    }

    /// The permission bits (07777) of what is at `path`. etcd warns when a directory that it did not make has others
    /// than 0700.
    public func permissions(_ path: String) throws(DiskError) -> UInt32 {
        var status = stat()
        guard stat(path, &status) == 0 else { throw lastError("stat", path) }
        return status.st_mode & 0o7777
    }
}
