import Foundation
import Glibc
import Synchronization

/// Ends the programs that tests have started if the tests themselves are ended: a killed run of tests would leave its
/// servers behind, which keep ports, memory and processor time.
///
/// A shell waits on a pipe that only this process writes to. Whatever ends this process closes the pipe; the shell then
/// kills those that are still noted.
public final class ChildKeeper: Sendable {
    /// That of this process.
    static let shared = try? ChildKeeper()

    private static let script = """
        trap '' HUP INT TERM
        kept=' '
        while read -r change pid; do
            case $change in
            keep) kept="$kept$pid " ;;
            forget) case "$kept" in *" $pid "*) kept="${kept%% $pid *} ${kept#* $pid }" ;; esac ;;
            esac
        done
        for pid in $kept; do kill -KILL "$pid"; done 2>/dev/null
        """

    private let shell: pid_t
    private let notes: Mutex<FileHandle>

    public init() throws {
        let pipe = Pipe()
        let nothing = FileHandle.nullDevice.fileDescriptor
        // It may not fork and end, as `setsid` does: a child that has ended and that nobody waits for keeps
        // swift-testing's wait for its own children busy.
        shell = try Spawn.start(
            "/bin/sh", ["-c", Self.script],
            Spawn.Streams(input: pipe.fileHandleForReading.fileDescriptor, output: nothing, errors: nothing))
        try pipe.fileHandleForReading.close()
        notes = Mutex(pipe.fileHandleForWriting)
    }

    public func keep(_ pid: Int32) { note("keep \(pid)") }

    /// To be called when the program has ended: its number may be given to another.
    public func forget(_ pid: Int32) { note("forget \(pid)") }

    private func note(_ line: String) {
        // The tests do not depend on it.
        notes.withLock { try? $0.write(contentsOf: Data((line + "\n").utf8)) }
    }

    /// As if this process ended; returns when those that were kept have been killed.
    public func close() {
        notes.withLock { try? $0.close() }
        _ = Spawn.end(of: shell, waits: true)
    }
}
