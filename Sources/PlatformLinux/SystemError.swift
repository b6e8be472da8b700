internal import Glibc
internal import Platform

/// The error of the call that just failed, from `errno`. To be made before any other call of libc.
func lastError(_ operation: String, _ path: String) -> DiskError {
    systemError(errno, operation, path)
}

func systemError(_ number: Int32, _ operation: String, _ path: String) -> DiskError {
    DiskError(reason(of: number), operation: operation, path: path)
}

private func reason(of number: Int32) -> DiskError.Reason {
    switch number {
    case ENOENT: .notFound
    case EEXIST: .exists
    case EACCES, EPERM: .permissionDenied
    case EROFS: .readOnlyFileSystem
    case ENOSPC, EDQUOT: .noSpace
    case ENOTDIR: .notADirectory
    case EISDIR: .isADirectory
    case ENOTEMPTY: .directoryNotEmpty
    case EAGAIN: .locked
    case EIO: .io
    default: .system(errno: number, text: kernelText(number))
    }
}

/// The kernel's text for an error number, its first letter in lower case as Go prints it.
private func kernelText(_ number: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 128)
    // SAFETY: strerror_r writes at most `count` bytes into the buffer, with a terminating zero.
    let text = buffer.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress, strerror_r(number, base, buffer.count) == 0 else {
            return "error \(number)"
        }
        return String(cString: base)
    }
    guard let first = text.first else { return "error \(number)" }
    return first.lowercased() + text.dropFirst()
}

/// Repeats `call` as long as a signal interrupts it.
@inline(__always) func retryingInterrupts<R: SignedInteger>(_ call: () -> R) -> R {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}
