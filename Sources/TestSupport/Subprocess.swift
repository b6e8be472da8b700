import Foundation
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
    }

    private static let spawning = Mutex(())

    private let process: Process
    public let pid: Int32

    public init(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], inputPath: String = "/dev/null",
        outputPath: String, errorPath: String
    ) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: inputPath))
        process.standardOutput = try Self.sink(outputPath)
        process.standardError = errorPath == outputPath ? process.standardOutput : try Self.sink(errorPath)
        // Foundation's spawning is not safe against itself on several threads.
        try Self.spawning.withLock { _ in
            let keeper = ChildKeeper.shared
            process.terminationHandler = { keeper?.forget($0.processIdentifier) }
            try Self.withoutBlockedSignals { try process.run() }
            keeper?.keep(process.processIdentifier)
            // It may have ended before it was noted.
            if !process.isRunning { keeper?.forget(process.processIdentifier) }
        }
        self.process = process
        pid = process.processIdentifier
    }

    /// Dispatch's threads block all signals, and a child would inherit that: a shell would not hear of its end.
    private static func withoutBlockedSignals(_ body: () throws -> Void) rethrows {
        var none = sigset_t()
        var former = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &former)
        defer { pthread_sigmask(SIG_SETMASK, &former, nil) }
        try body()
    }

    private static func sink(_ path: String) throws -> FileHandle {
        guard FileManager.default.createFile(atPath: path, contents: nil) else {
            throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: path])
        }
        return try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    }

    public var isRunning: Bool { process.isRunning }

    public func signal(_ signal: Signal) {
        if process.isRunning { kill(pid, signal.rawValue) }
    }

    /// How it ended, or nil if it still runs after `timeout`.
    public func waitForEnd(timeout: Duration) async -> End? {
        let deadline = ContinuousClock.now + timeout
        while process.isRunning {
            if ContinuousClock.now >= deadline { return nil }
            // Not cancellable: whoever gives up still has to see the process end.
            await Task.detached { try? await Task.sleep(for: .milliseconds(3)) }.value
        }
        return End(status: process.terminationStatus, signalled: process.terminationReason == .uncaughtSignal)
    }
}
