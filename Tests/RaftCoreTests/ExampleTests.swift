import Foundation
import TestSupport
import Testing

/// The example that strangers start from, and the article that explains it.
@Suite("Example") struct ExampleTests {
    static func text(_ path: String) throws -> String {
        try String(contentsOfFile: PackageFiles.root + "/" + path, encoding: .utf8)
    }

    @Test func itCounts() async throws {
        // Beside the test bundle, where the build has put it.
        let program = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appendingPathComponent("replicated-counter")
        let result = try await Subprocess.run(program.path)
        #expect(result.status == 0 && !result.signalled, "\(result.errorText)")
        let lines = result.text.split(separator: "\n").map(String.init)
        try #require(lines.count == 5, "\(result.text)")
        #expect(lines[0].hasSuffix(" leads"))
        #expect(lines[1] == "counter: [3, 3, 3]")
        #expect(lines[3] == "counter: [13, 13, 13]")
        #expect(lines[4].hasSuffix(" reads 13"))
    }

    @Test func itIsAsShortAsTheArticleSays() throws {
        #expect(try Self.text("Examples/ReplicatedCounter/Counter.swift").split(separator: "\n").count <= 100)
    }

    /// It compiles because it is the example's.
    @Test func theArticlesCodeIsTheExamples() throws {
        let article = try Self.text("Sources/RaftCore/RaftCore.docc/ReplicateYourStateMachine.md")
        let code = try ["Counter", "main"].map { try Self.text("Examples/ReplicatedCounter/\($0).swift") }
        let blocks = article.components(separatedBy: "```swift\n").dropFirst()
            .map { $0.components(separatedBy: "\n```")[0] }
        #expect(blocks.count >= 7)
        for block in blocks {
            #expect(code.contains { $0.contains(block) }, "not in the example:\n\(block)")
        }
    }
}
