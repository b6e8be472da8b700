/// A file of commands and their expected output, in the format of cockroachdb's *datadriven* library.
///
/// A command line `name arg key=value key=(v1, v2)`, lines of input, a line `----`, and the expected output up to the
/// next blank line; output that holds blank lines stands between doubled `----` lines. Lines that begin with `#`
/// between commands are comments, `subtest name` and `subtest end` frame a part of the file.
public struct RaftInteractionFile: Sendable {
    public struct Argument: Sendable, Equatable {
        public var key: String
        /// Empty for a bare argument.
        public var values: [String]
    }

    public struct Command: Sendable {
        /// The line of the file on which it starts, counted from 1.
        public var line: Int
        public var name: String
        public var arguments: [Argument]
        public var input: String
        public var expected: String
        /// The lines of the file that hold the expected output with its separators, from 0.
        var outputLines: Range<Int>
    }

    public var lines: [String]
    public var commands: [Command]

    public init(_ text: String) {
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        commands = []
        var at = 0
        while at < lines.count {
            let start = at
            var line = lines[at].trimmed
            at += 1
            if line.hasPrefix("#") || line.isEmpty { continue }
            while line.hasSuffix("\\") && at < lines.count {
                line = line.dropLast() + " " + lines[at].trimmed
                at += 1
            }
            var words = Self.words(line)
            let name = words.removeFirst()
            // Names a part of the file, and says when it ends; it is no command and has no output.
            if name == "subtest" { continue }
            let inputStart = at
            while at < lines.count && lines[at] != "----" { at += 1 }
            let input = lines[inputStart..<at].joined(separator: "\n").trimmed
            let outputStart = at
            at += 1
            let expected = Self.readOutput(lines, &at)
            commands.append(
                Command(
                    line: start + 1, name: name, arguments: words.map(Self.argument), input: input,
                    expected: expected, outputLines: min(outputStart, lines.count)..<min(at, lines.count)))
        }
    }

    /// Reads the output that begins at line `at`, and moves `at` behind it.
    private static func readOutput(_ lines: [String], _ at: inout Int) -> String {
        var output: [String] = []
        if at < lines.count && lines[at] == "----" {
            at += 1
            while at < lines.count {
                if lines[at] == "----" && at + 1 < lines.count && lines[at + 1] == "----" {
                    at += 2
                    break
                }
                output.append(lines[at])
                at += 1
            }
        } else {
            while at < lines.count && !lines[at].trimmed.isEmpty {
                output.append(lines[at])
                at += 1
            }
        }
        return output.map { $0 + "\n" }.joined()
    }

    /// Splits at spaces outside parentheses.
    private static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word = ""
        var depth = 0
        for character in line {
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            if character.isWhitespace && depth <= 0 {
                if !word.isEmpty { words.append(word) }
                word = ""
            } else {
                word.append(character)
            }
        }
        if !word.isEmpty { words.append(word) }
        return words
    }

    private static func argument(_ word: String) -> Argument {
        guard let equals = word.firstIndex(of: "=") else { return Argument(key: word, values: []) }
        let key = String(word[..<equals])
        let value = word[word.index(after: equals)...]
        guard value.hasPrefix("("), value.hasSuffix(")") else { return Argument(key: key, values: [String(value)]) }
        let list = value.dropFirst().dropLast()
        if list.allSatisfy(\.isWhitespace) { return Argument(key: key, values: []) }
        return Argument(
            key: key, values: list.split(separator: ",", omittingEmptySubsequences: false).map { String($0).trimmed })
    }

    /// The file with each command's output replaced.
    func rewritten(_ outputs: [String]) -> String {
        var result: [String] = []
        var at = 0
        for (command, output) in zip(commands, outputs) {
            result += lines[at..<command.outputLines.lowerBound]
            let body = output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init).dropLast()
            if body.contains(where: { $0.trimmed.isEmpty }) {
                result += ["----", "----"] + body + ["----", "----"]
            } else {
                result += ["----"] + body
            }
            at = command.outputLines.upperBound
        }
        result += lines[at...]
        return result.map { $0 + "\n" }.joined()
    }
}

extension StringProtocol {
    var trimmed: String {
        let start = firstIndex { !$0.isWhitespace } ?? endIndex
        let end = lastIndex { !$0.isWhitespace }.map(index(after:)) ?? start
        return start < end ? String(self[start..<end]) : ""
    }
}
