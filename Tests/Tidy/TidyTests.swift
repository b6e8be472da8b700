import Foundation
import TestSupport
import Testing

@Suite struct TidyTests {
    /// All Swift files of ours, in order of their paths; generated ones follow their generator's style.
    static let files: [SourceText] = {
        var files: [SourceText] = []
        for folder in ["Sources", "Tests", "Benchmarks", "Examples"] {
            let base = URL(fileURLWithPath: PackageFiles.root).appendingPathComponent(folder)
            guard let names = FileManager.default.enumerator(atPath: base.path) else { continue }
            for case let name as String in names where name.hasSuffix(".swift") && !name.contains("Generated/") {
                guard let text = try? String(contentsOf: base.appendingPathComponent(name), encoding: .utf8) else {
                    Issue.record("cannot read \(folder)/\(name)")
                    continue
                }
                files.append(SourceText(path: "\(folder)/\(name)", text))
            }
        }
        return files.sorted { $0.path < $1.path }
    }()

    static func expectNone(_ findings: [Finding]) {
        for finding in findings { Issue.record(Comment(rawValue: finding.description)) }
    }

    @Test func filesAreFound() {
        #expect(Self.files.count > 40)
        #expect(Self.files.contains { $0.path == "Sources/Base/CRC32C.swift" })
    }

    @Test func importsKeepToTheLayers() {
        Self.expectNone(Self.files.flatMap(LayerRules.findings))
    }

    @Test func codeKeepsToTheStyle() {
        Self.expectNone(Self.files.flatMap(CodeRules.findings))
        Self.expectNone(CodeRules.unsafeFileCounts(Self.files))
        Self.expectNone(CodeRules.staleLongFiles(Self.files))
    }

    @Test func scriptsAndDocumentsNameNoMachine() throws {
        let root = URL(fileURLWithPath: PackageFiles.root)
        var paths = ["Makefile", "Package.swift", ".ci/run", ".ci/peers"]
        for name in try FileManager.default.contentsOfDirectory(atPath: root.path) where name.hasSuffix(".md") {
            paths.append(name)
        }
        for folder in ["docs", "proto", "Benchmarks"] {
            for case let name as String in FileManager.default.enumerator(atPath: "\(root.path)/\(folder)") ?? .init() {
                if [".md", ".proto", ".sh"].contains(where: name.hasSuffix) { paths.append("\(folder)/\(name)") }
            }
        }
        for path in paths.sorted() {
            let text = try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
            for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                guard let machine = CodeRules.machinePath(String(line)) else { continue }
                Issue.record("\(path):\(number + 1): a path of one machine: \(machine)")
            }
        }
    }

    // MARK: - The rules find what they are for

    struct Violation: Sendable, CustomTestStringConvertible {
        var path: String
        var code: String
        /// Part of the finding's message; nil if there must be none.
        var expected: String?
        var testDescription: String { "\(path): \(code)" }
    }

    static let violations: [Violation] = [
        Violation(path: "Sources/RaftCore/A.swift", code: "internal import Foundation", expected: "may not import"),
        Violation(path: "Sources/Bolt/A.swift", code: "public import struct NIOCore.ByteBuffer", expected: "NIOCore"),
        Violation(path: "Sources/WAL/A.swift", code: "import Glibc", expected: "Glibc"),
        Violation(path: "Sources/WAL/A.swift", code: "public import Platform", expected: nil),
        Violation(path: "Sources/Elsewhere/A.swift", code: "let a = 1", expected: "table of layers"),
        Violation(path: "Sources/Apply/A.swift", code: "let now = ContinuousClock.now", expected: "which is pure"),
        Violation(path: "Sources/Apply/A.swift", code: "// no ContinuousClock here", expected: nil),
        Violation(path: "Sources/Apply/A.swift", code: "let text = \"Task { }\"", expected: nil),
        Violation(path: "Sources/MVCC/A.swift", code: "let p: UnsafeRawPointer", expected: "outside the files"),
        Violation(path: "Sources/HTTP2/A.swift", code: "let p: UnsafeRawPointer", expected: "without a"),
        Violation(path: "Sources/HTTP2/A.swift", code: "// SAFETY: ours.\nlet p: UnsafeRawPointer", expected: nil),
        Violation(path: "Sources/Member/A.swift", code: "final class A: @unchecked Sendable {}", expected: "without a"),
        Violation(path: "Sources/Member/A.swift", code: "fatalError()", expected: "fatalError"),
        Violation(path: "Sources/Member/A.swift", code: "let a = try! b()", expected: "try!"),
        Violation(path: "Sources/Member/A.swift", code: "let text = \"try! again\"", expected: nil),
        Violation(
            path: "Sources/Member/A.swift", code: "let text = \"\"\"\n  as! fatalError(\n  \"\"\"", expected: nil),
        Violation(path: "Sources/Member/A.swift", code: "/* as! */ let a = #\"try!\"#", expected: nil),
        Violation(path: "Sources/Member/A.swift", code: "// TO" + "DO: later", expected: "TO" + "DO"),
        Violation(path: "Tests/ATests/A.swift", code: "@testable import WAL", expected: "@testable"),
        Violation(path: "Tests/ATests/A.swift", code: "let path = \"/ho" + "me/me\"", expected: "one machine"),
        Violation(path: "Tests/ATests/A.swift", code: "let path = \"docs/ho" + "me/me\"", expected: nil),
        Violation(
            path: "Tests/ATests/A.swift", code: "let a = " + String(repeating: "1", count: 120), expected: "columns"),
        Violation(
            path: "Tests/ATests/A.swift", code: "let a = \"" + String(repeating: "1", count: 120) + "\"", expected: nil),
        Violation(
            path: "Tests/ATests/A.swift", code: String(repeating: "\n", count: 700), expected: "over 600"),
    ]

    @Test(arguments: violations) func ruleFinds(violation: Violation) {
        let file = SourceText(path: violation.path, violation.code)
        let messages = (LayerRules.findings(file) + CodeRules.findings(file)).map(\.message)
        if let expected = violation.expected {
            #expect(messages.contains { $0.contains(expected) }, "found \(messages)")
        } else {
            #expect(messages.isEmpty)
        }
    }

    @Test func oneUnsafeFileForEachModule() {
        let one = SourceText(path: "Sources/Bolt/A.swift", "let a: UnsafeRawPointer")
        let two = SourceText(path: "Sources/Bolt/B.swift", "let b: UnsafeRawPointer")
        #expect(CodeRules.unsafeFileCounts([one]).isEmpty)
        #expect(CodeRules.unsafeFileCounts([one, two]).count == 1)
    }
}
