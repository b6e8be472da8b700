package import Foundation
internal import Synchronization

/// Where log lines go. One line is one write to each output, whole, whatever thread it comes from.
package final class LogWriter: Sendable {
    private let outputs: Mutex<[FileHandle]>

    package init(outputs: [FileHandle]) {
        self.outputs = Mutex(outputs)
    }

    /// - Parameter names: `default` and `stderr`, `stdout`, or paths of files, which are appended to.
    /// - Throws: etcd's words for an output that cannot be opened.
    package convenience init(names: [String]) throws(ValueError) {
        var handles: [FileHandle] = []
        for name in names {
            switch name {
            case "default", "stderr": handles.append(.standardError)
            case "stdout": handles.append(.standardOutput)
            default: handles.append(try Self.openForAppending(name))
            }
        }
        self.init(outputs: handles)
    }

    /// A log that cannot be written must not stop the member: a failed write is dropped.
    func write(_ line: [UInt8]) {
        let data = Data(line)
        outputs.withLock { for output in $0 { try? output.write(contentsOf: data) } }
    }

    private static func openForAppending(_ path: String) throws(ValueError) -> FileHandle {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw ValueError("couldn't open sink \"\(path)\": open \(path): \(String(cString: strerror(errno)))")
        }
        return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }
}
