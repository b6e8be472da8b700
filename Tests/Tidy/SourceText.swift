/// A Swift file taken apart into what the compiler reads and what people read, line by line.
struct SourceText {
    struct Line {
        /// The line as it stands.
        var text: String
        /// Without comments and without the insides of string literals.
        var code: String
        /// The text of comments only.
        var comment: String
    }

    /// Relative to the package, such as `Sources/WAL/Record.swift`.
    var path: String
    var lines: [Line]

    init(path: String, _ text: String) {
        self.path = path
        var scanner = Scanner()
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { scanner.line(String($0)) }
        if lines.last?.text.isEmpty == true { lines.removeLast() }
    }

    /// The target that the file belongs to: `WAL`, `WALTests`.
    var target: String {
        let parts = path.split(separator: "/")
        return parts.count > 1 ? String(parts[1]) : ""
    }

    var isTest: Bool { path.hasPrefix("Tests/") || target == "TestSupport" }

    /// Keeps what reaches over the end of a line: block comments and multi-line strings. Knows raw strings, but no
    /// interpolated string inside an interpolation: what stands there counts as string.
    private struct Scanner {
        private enum State {
            case code
            case lineComment
            case blockComment
            case string(hashes: Int, multiline: Bool)
        }

        private var state = State.code

        mutating func line(_ text: String) -> Line {
            var line = Line(text: text, code: "", comment: "")
            var rest = Substring(text)
            if case .lineComment = state { state = .code }
            while !rest.isEmpty {
                switch state {
                case .code: scanCode(&rest, &line)
                case .lineComment:
                    line.comment += rest
                    rest = ""
                case .blockComment:
                    if rest.hasPrefix("*/") {
                        state = .code
                        rest = rest.dropFirst(2)
                    } else {
                        line.comment.append(rest.removeFirst())
                    }
                case .string(let hashes, let multiline): scanString(&rest, &line, hashes, multiline)
                }
            }
            if case .string(_, multiline: false) = state { state = .code }
            return line
        }

        private mutating func scanCode(_ rest: inout Substring, _ line: inout Line) {
            if rest.hasPrefix("//") {
                state = .lineComment
                rest = rest.dropFirst(2)
                return
            }
            if rest.hasPrefix("/*") {
                state = .blockComment
                rest = rest.dropFirst(2)
                return
            }
            let hashes = rest.prefix { $0 == "#" }.count
            let after = rest.dropFirst(hashes)
            if after.hasPrefix("\"") {
                let multiline = after.hasPrefix("\"\"\"")
                state = .string(hashes: hashes, multiline: multiline)
                line.code += "\""
                rest = after.dropFirst(multiline ? 3 : 1)
                return
            }
            line.code.append(rest.removeFirst())
        }

        private mutating func scanString(
            _ rest: inout Substring, _ line: inout Line, _ hashes: Int, _ multiline: Bool
        ) {
            let close = (multiline ? "\"\"\"" : "\"") + String(repeating: "#", count: hashes)
            if rest.hasPrefix(close) {
                state = .code
                line.code += "\""
                rest = rest.dropFirst(close.count)
            } else if hashes == 0, rest.hasPrefix("\\") {
                rest = rest.dropFirst(2)
            } else {
                rest.removeFirst()
            }
        }
    }
}

/// One place that breaks a rule.
struct Finding: CustomStringConvertible, Equatable {
    var path: String
    /// Counted from 1; 0 for the file as a whole.
    var line: Int
    var message: String

    var description: String { line == 0 ? "\(path): \(message)" : "\(path):\(line): \(message)" }
}
