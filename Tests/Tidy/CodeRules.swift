/// What the project's style asks of every Swift file and a machine can see.
enum CodeRules {
    /// Over 600 lines, and why. A file that has shrunk must leave the list.
    static let longFiles: [String: String] = [:]

    static let longestFile = 600
    static let longestLine = 120

    /// Where memory may be touched without the compiler's protection.
    static func mayBeUnsafe(_ path: String) -> Bool {
        ["Sources/PlatformLinux/", "Sources/HTTP2/"].contains { path.hasPrefix($0) } || unsafeFiles.contains(path)
    }

    /// One file each: the boundary between bytes on disk and the module's own types, and the checksum's inner loop.
    static let unsafeFiles: Set<String> = [
        "Sources/Base/CRC32C.swift",
        // The protocol's `base` is what a mapping is.
        "Sources/Platform/Disk.swift",
        // Decodes response headers with nghttp2's own table.
        "Tests/HTTP2Tests/Support/HeaderInflater.swift",
    ]

    /// What may have one file of its own choice with unsafe pointers.
    static let modulesWithOneUnsafeFile: Set<String> = ["WAL", "Bolt"]

    static let unsafeNames = [
        "UnsafePointer", "UnsafeMutablePointer", "UnsafeRawPointer", "UnsafeMutableRawPointer", "UnsafeBufferPointer",
        "UnsafeMutableBufferPointer", "UnsafeRawBufferPointer", "UnsafeMutableRawBufferPointer", "Unmanaged",
        "OpaquePointer", "withUnsafe", "unsafeBitCast", "assumingMemoryBound", "unsafeDowncast", "_unsafe",
        "unsafelyUnwrapped",
    ]

    static let uncheckedNames = ["@unchecked Sendable", "nonisolated(unsafe)"]

    /// How far above a use its `// SAFETY:` line may stand; and below, for the head of a type.
    static let safetyAbove = 15
    static let safetyBelow = 8

    static func findings(_ file: SourceText) -> [Finding] {
        var found: [Finding] = []
        func report(_ line: Int, _ message: String) {
            found.append(Finding(path: file.path, line: line, message: message))
        }
        if file.lines.count > longestFile, longFiles[file.path] == nil {
            report(0, "\(file.lines.count) lines; over \(longestFile) need a reason in the list of long files")
        }
        for (index, line) in file.lines.enumerated() {
            let number = index + 1
            // Text in a literal is as long as it is: messages that have to agree with etcd's, data of tests.
            let width = (line.comment.isEmpty ? line.code : line.text).unicodeScalars.count
            if width > longestLine { report(number, "\(width) columns") }
            for word in ["TO" + "DO", "FIX" + "ME", "XX" + "X:"] where line.comment.contains(word) {
                report(number, "\(word): do it, or write an issue")
            }
            for name in ["fatalError(", "try!", "as!", "@testable"] where line.code.contains(name) {
                report(number, "`\(name)`")
            }
            if let path = machinePath(line.text) { report(number, "a path of one machine: \(path)") }
            let unchecked = uncheckedNames.first { line.code.contains($0) }
            let pointer = unsafeNames.first { line.code.contains($0) }
            if let name = unchecked ?? pointer, !file.isTest, !hasSafetyLine(file, near: index) {
                report(number, "`\(name)` without a `// SAFETY:` line within \(safetyAbove) lines above")
            }
            if let name = pointer, !file.isTest, !mayBeUnsafe(file.path),
                !modulesWithOneUnsafeFile.contains(file.target)
            {
                report(number, "`\(name)` outside the files that may be unsafe")
            }
        }
        return found
    }

    /// A module that may have one unsafe file has at most one.
    static func unsafeFileCounts(_ files: [SourceText]) -> [Finding] {
        modulesWithOneUnsafeFile.sorted().compactMap { module in
            let unsafe = files.filter { file in
                file.path.hasPrefix("Sources/\(module)/")
                    && file.lines.contains { line in unsafeNames.contains { line.code.contains($0) } }
            }
            guard unsafe.count > 1 else { return nil }
            let names = unsafe.map(\.path).sorted().joined(separator: ", ")
            return Finding(path: "Sources/\(module)", line: 0, message: "more than one unsafe file: \(names)")
        }
    }

    static func staleLongFiles(_ files: [SourceText]) -> [Finding] {
        longFiles.keys.sorted().compactMap { path in
            let lines = files.first { $0.path == path }?.lines.count ?? 0
            guard lines <= longestFile else { return nil }
            return Finding(path: path, line: 0, message: "on the list of long files with \(lines) lines")
        }
    }

    private static func hasSafetyLine(_ file: SourceText, near index: Int) -> Bool {
        let range = max(0, index - safetyAbove)...min(file.lines.count - 1, index + safetyBelow)
        return file.lines[range].contains { $0.comment.contains("SAFETY:") }
    }

    /// A path that exists on somebody's machine only.
    static func machinePath(_ text: String) -> String? {
        for root in ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/"] {
            guard let at = text.firstRange(of: root) else { continue }
            let before = at.lowerBound == text.startIndex ? " " : text[text.index(before: at.lowerBound)]
            if before.isLetter || before.isNumber || "._-}".contains(before) { continue }
            return root
        }
        return nil
    }
}
