import RaftCore
import Synchronization

/// What a command prints: its own text and the log lines of the nodes, as far as the level lets them through.
final class RaftInteractionOutput: Sendable {
    enum Level: Int, CaseIterable {
        case debug, info, warn, error, fatal, none

        var name: String {
            switch self {
            case .debug: "DEBUG"
            case .info: "INFO"
            case .warn: "WARN"
            case .error: "ERROR"
            case .fatal: "FATAL"
            case .none: "NONE"
            }
        }
    }

    private struct State {
        var text = ""
        var level = Level.debug
    }

    private let state = Mutex(State())

    var level: Level {
        get { state.withLock { $0.level } }
        set { state.withLock { $0.level = newValue } }
    }

    /// Under `none` nothing is kept.
    func write(_ text: String) {
        state.withLock { if $0.level != .none { $0.text += text } }
    }

    func take() -> String {
        state.withLock { state in
            defer { state.text = "" }
            return state.text
        }
    }

    /// Runs `body` and puts two spaces before each line that it wrote.
    func indented(_ body: () throws -> Void) rethrows {
        let before = take()
        defer {
            let inner = take()
            let lines = inner.split(separator: "\n", omittingEmptySubsequences: false)
            let indented = (inner.hasSuffix("\n") || inner.isEmpty ? lines.dropLast() : lines[...])
                .map { "  \($0)\n" }.joined()
            state.withLock { $0.text = before + indented }
        }
        try body()
    }

    /// Receives the log lines of a node.
    var sink: LogSink {
        LogSink(level: .debug) { level, line in
            let own: Level =
                switch level {
                case .debug: .debug
                case .info: .info
                case .warning: .warn
                case .error: .error
                }
            self.state.withLock { if $0.level.rawValue <= own.rawValue { $0.text += "\(own.name) \(line)\n" } }
        }
    }
}
