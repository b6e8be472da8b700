import Foundation
import TestSupport
import Testing

/// What strangers see of `RaftCore`: each symbol explained, each type listed in the catalogue.
@Suite("Public API") struct PublicAPITests {
    static let folder = PackageFiles.root + "/Sources/RaftCore"
    static let files: [(name: String, lines: [Substring])] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasSuffix(".swift") }.sorted().compactMap { name in
            guard let text = try? String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8) else { return nil }
            return (name, text.split(separator: "\n", omittingEmptySubsequences: false))
        }
    }()

    private static let kinds = [
        "struct", "enum", "protocol", "func", "var", "let", "init", "subscript", "static", "internal(set)",
    ]

    /// The words of a public declaration after `public`; nil for other lines, and for what protocols of the standard
    /// library ask for.
    static func declaration(_ line: Substring) -> [Substring]? {
        var words = line.split(separator: " ")
        while let first = words.first, first.hasPrefix("@") { words.removeFirst() }
        guard words.first == "public", words.count > 1 else { return nil }
        words.removeFirst()
        while let first = words.first, ["mutating", "private(set)", "internal(set)"].contains(first) {
            words.removeFirst()
        }
        guard let kind = words.first.map({ String($0.prefix { $0.isLetter }) }), kinds.contains(kind) else {
            return nil
        }
        if words.contains("<") || words.contains("==") || words.dropFirst().first == "description:" { return nil }
        return words
    }

    static func undocumented(_ lines: [Substring]) -> [Substring] {
        var found: [Substring] = []
        var inPublicEnum = false
        for (i, line) in lines.enumerated() {
            if !line.hasPrefix(" ") && line.hasSuffix("{") { inPublicEnum = line.hasPrefix("public enum") }
            let isCase = inPublicEnum && line.hasPrefix("    case ")
            guard isCase || declaration(line) != nil else { continue }
            var above = i - 1
            while above >= 0, lines[above].drop(while: { $0 == " " }).hasPrefix("@") { above -= 1 }
            let hasWords = above >= 0 && lines[above].drop(while: { $0 == " " }).hasPrefix("///")
            if !hasWords { found.append(line) }
        }
        return found
    }

    /// Requirements of a protocol, which is where their words stand.
    static let witnesses = [
        "public var initialState:", "public var firstIndex:", "public var lastIndex: LogIndex { base",
        "public func snapshot()",
        "public func term(at", "public func entries(from",
    ]

    @Test func everySymbolIsExplained() {
        #expect(Self.files.count > 30)
        for (name, lines) in Self.files {
            for line in Self.undocumented(lines) where !Self.witnesses.contains(where: line.contains) {
                Issue.record("\(name): \(line)")
            }
        }
    }

    @Test func theCheckSeesWhatIsMissing() {
        let lines = [
            "public enum A {", "    /// Words.", "    case a", "    case b", "}", "public struct B {",
            "    public var c: Int",
        ]
        #expect(Self.undocumented(lines.map { $0[...] }).count == 4)
    }

    @Test func theCatalogueListsEveryType() throws {
        let catalogue = try String(contentsOfFile: Self.folder + "/RaftCore.docc/RaftCore.md", encoding: .utf8)
        var types = 0
        for (name, lines) in Self.files {
            for line in lines {
                guard !line.hasPrefix(" "), let words = Self.declaration(line), words.count > 1,
                    ["struct", "enum", "protocol", "let", "func"].contains(words[0])
                else { continue }
                types += 1
                let symbol = words[1].prefix { $0.isLetter || $0.isNumber }
                #expect(catalogue.contains("- ``\(symbol)``"), "\(name): \(symbol)")
            }
        }
        #expect(types > 40)
    }
}
