public import Foundation

/// Runs transcript files and compares what comes out to the letter.
public enum RaftInteractionRunner {
    public struct Mismatch: Sendable {
        public var line: Int
        public var command: String
        public var expected: String
        public var actual: String
    }

    public struct Result: Sendable {
        public var file: URL
        public var mismatches: [Mismatch]
        /// The file as it would be if everything that came out were right.
        public var rewritten: String
        public var passed: Bool { mismatches.isEmpty }

        /// The differences for a reader: each command with what is missing (`-`) and what came instead (`+`).
        public var difference: String {
            mismatches.map { mismatch in
                "\(file.path):\(mismatch.line): \(mismatch.command)\n"
                    + RaftInteractionRunner.difference(mismatch.expected, mismatch.actual)
            }.joined(separator: "\n")
        }
    }

    /// Which language a file is written in.
    enum Language {
        case interaction, confChange, quorum
    }

    /// The transcripts under a folder, by path.
    public static func files(under folder: URL) -> [URL] {
        guard let found = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else { return [] }
        return found.compactMap { $0 as? URL }.filter { $0.pathExtension == "txt" }.sorted { $0.path < $1.path }
    }

    /// The folder that the environment names, or the fixtures beside the package.
    public static func transcriptFolder(packageRoot: URL) -> URL {
        if let path = ProcessInfo.processInfo.environment["RAFT_TRANSCRIPTS"], !path.isEmpty {
            return URL(fileURLWithPath: path, relativeTo: packageRoot).absoluteURL
        }
        return packageRoot.appendingPathComponent("../shared/fixtures/raft").standardizedFileURL
    }

    public static func run(_ file: URL) throws -> Result {
        let parsed = RaftInteractionFile(try String(contentsOf: file, encoding: .utf8))
        let handle = handler(language(of: parsed, folder: file.deletingLastPathComponent().lastPathComponent))
        var mismatches: [Mismatch] = []
        var outputs: [String] = []
        for command in parsed.commands {
            var actual = handle(command)
            if !actual.isEmpty && !actual.hasSuffix("\n") { actual += "\n" }
            outputs.append(actual)
            if actual != command.expected {
                let line = ([command.name] + command.arguments.map(\.text)).joined(separator: " ")
                mismatches.append(
                    Mismatch(line: command.line, command: line, expected: command.expected, actual: actual))
            }
        }
        return Result(file: file, mismatches: mismatches, rewritten: parsed.rewritten(outputs))
    }

    private static func language(of file: RaftInteractionFile, folder: String) -> Language {
        switch folder {
        case "confchange": return .confChange
        case "quorum": return .quorum
        case "interaction": return .interaction
        default: break
        }
        switch file.commands.first?.name {
        case "simple", "enter-joint", "leave-joint": return .confChange
        case "committed", "vote": return .quorum
        default: return .interaction
        }
    }

    private static func handler(_ language: Language) -> (RaftInteractionFile.Command) -> String {
        switch language {
        case .interaction:
            let environment = RaftInteractionEnvironment()
            return environment.handle
        case .confChange:
            let changes = RaftInteractionConfChanges()
            return changes.handle
        case .quorum: return RaftInteractionQuorum.handle
        }
    }

    /// Line by line; the common start and end are left out but for two lines.
    static func difference(_ expected: String, _ actual: String) -> String {
        let old = expected.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        let new = actual.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        let changes = Array(new).difference(from: Array(old))
        var removed: Set<Int> = []
        var inserted: Set<Int> = []
        for change in changes {
            switch change {
            case .remove(let offset, _, _): removed.insert(offset)
            case .insert(let offset, _, _): inserted.insert(offset)
            }
        }
        var lines: [String] = []
        var (i, j) = (0, 0)
        while i < old.count || j < new.count {
            if i < old.count && removed.contains(i) {
                lines.append("-\(old[i])")
                i += 1
            } else if j < new.count && inserted.contains(j) {
                lines.append("+\(new[j])")
                j += 1
            } else {
                lines.append(" \(old[i])")
                i += 1
                j += 1
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension RaftInteractionFile.Argument {
    var text: String {
        switch values.count {
        case 0: key
        case 1: "\(key)=\(values[0])"
        default: "\(key)=(\(values.joined(separator: ",")))"
        }
    }
}
