internal import Glibc
public import Platform

extension LinuxDisk: StampingDisk {
    public func stamp(_ path: String) throws(DiskError) -> FileStamp {
        var status = stat()
        guard stat(path, &status) == 0 else { throw lastError("stat", path) }
        return FileStamp(
            inode: UInt64(status.st_ino), size: Int64(status.st_size),
            modified: Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec))
    }
}
