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
    /// interpolated string inside an interpolation: what stands there counts as string. Works on bytes: nothing that it
    /// looks for is longer than one of them in UTF-8.
    private struct Scanner {
        private enum State {
            case code
            case lineComment
            case blockComment
            case string(hashes: Int, multiline: Bool)
        }

        private var state = State.code

        mutating func line(_ text: String) -> Line {
            var code: [UInt8] = []
            var comment: [UInt8] = []
            var rest = Array(text.utf8)[...]
            if case .lineComment = state { state = .code }
            while let first = rest.first {
                switch state {
                case .code: scanCode(&rest, &code)
                case .lineComment:
                    comment += rest
                    rest = []
                case .blockComment:
                    if rest.starts(with: "*/".utf8) {
                        state = .code
                        rest = rest.dropFirst(2)
                    } else {
                        comment.append(first)
                        rest = rest.dropFirst()
                    }
                case .string(let hashes, let multiline): scanString(&rest, &code, hashes, multiline)
                }
            }
            if case .string(_, multiline: false) = state { state = .code }
            return Line(
                text: text, code: String(decoding: code, as: UTF8.self),
                comment: String(decoding: comment, as: UTF8.self))
        }

        private mutating func scanCode(_ rest: inout ArraySlice<UInt8>, _ code: inout [UInt8]) {
            if rest.starts(with: "//".utf8) {
                state = .lineComment
                rest = rest.dropFirst(2)
                return
            }
            if rest.starts(with: "/*".utf8) {
                state = .blockComment
                rest = rest.dropFirst(2)
                return
            }
            let hashes = rest.prefix { $0 == UInt8(ascii: "#") }.count
            let after = rest.dropFirst(hashes)
            if after.first == UInt8(ascii: "\"") {
                let multiline = after.starts(with: "\"\"\"".utf8)
                state = .string(hashes: hashes, multiline: multiline)
                code.append(UInt8(ascii: "\""))
                rest = after.dropFirst(multiline ? 3 : 1)
                return
            }
            code.append(rest.removeFirst())
        }

        private mutating func scanString(
            _ rest: inout ArraySlice<UInt8>, _ code: inout [UInt8], _ hashes: Int, _ multiline: Bool
        ) {
            let quotes = multiline ? 3 : 1
            let end = rest.dropFirst(quotes)
            if rest.prefix(quotes).elementsEqual(repeatElement(UInt8(ascii: "\""), count: quotes)),
                end.prefix(hashes).elementsEqual(repeatElement(UInt8(ascii: "#"), count: hashes))
            {
                state = .code
                code.append(UInt8(ascii: "\""))
                rest = end.dropFirst(hashes)
            } else if hashes == 0, rest.first == UInt8(ascii: "\\") {
                rest = rest.dropFirst(2)
            } else {
                rest = rest.dropFirst()
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
