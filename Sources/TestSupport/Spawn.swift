import Foundation
import Glibc

/// Starts programs and waits for them with the system's own calls: `docs/bugs.md` tells what `Process` does in a
/// program that starts many.
enum Spawn {
    struct Failure: Error, CustomStringConvertible {
        var program: String
        var code: Int32
        var description: String { "cannot start \(program): \(String(cString: strerror(code)))" }
    }

    /// The files that a child begins with.
    struct Streams {
        var input: Int32
        var output: Int32
        var errors: Int32
    }

    /// Starts `program`, which is a path, in a process group of its own: a signal to the tests' group does not reach
    /// it. It inherits `streams` and the environment only: Dispatch's threads block all signals, and a shell that
    /// inherited that would not hear of its end.
    /// - Parameter environment: added to this process's own.
    /// - Returns: its process ID, to be given to `end(of:waits:)` until that tells an end.
    static func start(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], _ streams: Streams
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, streams.input, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, streams.output, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, streams.errors, STDERR_FILENO)
        for descriptor in inheritable() { posix_spawn_file_actions_addclose(&actions, descriptor) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        var pid = pid_t()
        let code = withCStrings([program] + arguments) { argv in
            withCStrings(variables) { posix_spawn(&pid, program, &actions, &attributes, argv, $0) }
        }
        guard code == 0 else { throw Failure(program: program, code: code) }
        return pid
    }

    /// Open files that a child would get besides the three: those of careless libraries.
    private static func inheritable() -> [Int32] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        return all.compactMap { Int32($0) }.filter { descriptor in
            let flags = fcntl(descriptor, F_GETFD)
            return descriptor > STDERR_FILENO && flags >= 0 && flags & FD_CLOEXEC == 0
        }
    }

    /// How the child ended, or nil while it runs. When this has told an end, the ID may be another process's.
    /// - Parameter waits: blocks the thread until the end.
    static func end(of pid: pid_t, waits: Bool = false) -> ChildProcess.End? {
        var status: Int32 = 0
        var answer: pid_t
        repeat { answer = waitpid(pid, &status, waits ? 0 : WNOHANG) } while answer < 0 && errno == EINTR
        guard answer == pid else { return nil }
        let signal = status & 0x7f
        return ChildProcess.End(status: signal == 0 ? (status >> 8) & 0xff : signal, signalled: signal != 0)
    }

    /// Runs `program` to its end on this thread and returns what it printed.
    static func output(of program: String, _ arguments: [String]) throws -> (end: ChildProcess.End?, bytes: [UInt8]) {
        let directory = try PackageFiles.temporaryDirectory("run")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let output = directory + "/out"
        let pid = try withFiles(input: "/dev/null", output: output, errors: nil) { try start(program, arguments, $0) }
        let end = end(of: pid, waits: true)
        return (end, [UInt8](try Data(contentsOf: URL(fileURLWithPath: output))))
    }

    /// Opens a child's files and closes them after `body`: the child has its own by then.
    /// - Parameters:
    ///   - output: made, or emptied.
    ///   - errors: as `output`, and may be the same; nil for this process's own.
    static func withFiles<T>(
        input: String, output: String, errors: String?, _ body: (Streams) throws -> T
    ) throws -> T {
        let read = try opened(input, O_RDONLY)
        defer { close(read) }
        let written = try opened(output, O_WRONLY | O_CREAT | O_TRUNC)
        defer { close(written) }
        guard let errors else { return try body(Streams(input: read, output: written, errors: STDERR_FILENO)) }
        guard errors != output else { return try body(Streams(input: read, output: written, errors: written)) }
        let told = try opened(errors, O_WRONLY | O_CREAT | O_TRUNC)
        defer { close(told) }
        return try body(Streams(input: read, output: written, errors: told))
    }

    private static func opened(_ path: String, _ flags: Int32) throws -> Int32 {
        let descriptor = open(path, flags | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure(program: path, code: errno) }
        return descriptor
    }

    /// The strings as C's `char *[]` with its nil at the end, as long as `body` runs.
    private static func withCStrings<T>(
        _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> T
    ) -> T {
        var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        return body(&pointers)
    }
}
