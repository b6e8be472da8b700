import Foundation
import Glibc
import Synchronization

/// Runs programs to their end.
public enum Subprocess {
    public struct Result: Sendable {
        /// The exit code, or the number of the signal that ended it.
        public var status: Int32
        /// Whether a signal ended it: a crash, or our own kill.
        public var signalled: Bool
        public var output: [UInt8]
        public var errors: [UInt8]

        public var text: String { String(decoding: output, as: UTF8.self) }
        public var errorText: String { String(decoding: errors, as: UTF8.self) }
    }

    public struct TimedOut: Error, CustomStringConvertible {
        public var command: String
        public var description: String { "did not end in time: \(command)" }
    }

    /// Runs `program` and waits for it without blocking a thread.
    /// - Parameters:
    ///   - environment: added to this process's own.
    ///   - timeout: after which it is killed and `TimedOut` thrown.
    public static func run(
        _ program: String, _ arguments: [String] = [], input: [UInt8] = [], environment: [String: String] = [:],
        timeout: Duration = .seconds(60)
    ) async throws -> Result {
        let directory = try PackageFiles.temporaryDirectory("run")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let inputPath = directory + "/in"
        try Data(input).write(to: URL(fileURLWithPath: inputPath))
        let child = try ChildProcess(
            program, arguments, environment: environment, inputPath: inputPath, outputPath: directory + "/out",
            errorPath: directory + "/err")
        guard let end = await child.waitForEnd(timeout: timeout) else {
            child.signal(.kill)
            _ = await child.waitForEnd(timeout: .seconds(5))
            throw TimedOut(command: ([program] + arguments).joined(separator: " "))
        }
        return Result(
            status: end.status, signalled: end.signalled,
            output: [UInt8](try Data(contentsOf: URL(fileURLWithPath: directory + "/out"))),
            errors: [UInt8](try Data(contentsOf: URL(fileURLWithPath: directory + "/err"))))
    }
}

/// A program that runs beside the test.
public final class ChildProcess: Sendable {
    public enum Signal: Int32, Sendable {
        case interrupt = 2
        case kill = 9
        case terminate = 15
        case stop = 19
        case resume = 18
    }

    public struct End: Sendable {
        public var status: Int32
        public var signalled: Bool

        var isSuccess: Bool { status == 0 && !signalled }
    }

    public let pid: Int32
    private let ended = Mutex<End?>(nil)

    /// - Parameters:
    ///   - program: a path.
    ///   - environment: added to this process's own.
    ///   - outputPath: the file is made, or emptied; `errorPath` as well, and may be the same.
    public convenience init(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], inputPath: String = "/dev/null",
        outputPath: String, errorPath: String
    ) throws {
        let pid = try Spawn.withFiles(input: inputPath, output: outputPath, errors: errorPath) {
            try Spawn.start(program, arguments, environment: environment, $0)
        }
        self.init(pid)
    }

    /// Talks with the program through pipes; `input` and `output` are its ends of them, and may be closed afterwards.
    public convenience init(_ program: String, _ arguments: [String], input: Int32, output: Int32) throws {
        self.init(
            try Spawn.start(
                program, arguments, Spawn.Streams(input: input, output: output, errors: STDERR_FILENO)))
    }

    private init(_ pid: pid_t) {
        self.pid = pid
        ChildKeeper.shared?.keep(pid)
    }

    /// The end, as soon as there is one. The process ID is this program's until then.
    private var end: End? {
        ended.withLock { ended in
            if ended == nil, let end = Spawn.end(of: pid) {
                ended = end
                ChildKeeper.shared?.forget(pid)
            }
            return ended
        }
    }

    public var isRunning: Bool { end == nil }

    public func signal(_ signal: Signal) {
        ended.withLock { if $0 == nil { kill(pid, signal.rawValue) } }
    }

    /// How it ended, or nil if it still runs after `timeout`.
    public func waitForEnd(timeout: Duration) async -> End? {
        let deadline = ContinuousClock.now + timeout
        while true {
            if let end { return end }
            if ContinuousClock.now >= deadline { return nil }
            // Not cancellable: whoever gives up still has to see the process end.
            await Task.detached { try? await Task.sleep(for: .milliseconds(3)) }.value
        }
    }
}
