import Foundation
import TestSupport
import Testing

/// The transcripts of etcd's raft, and our own scenarios in the same language, compared to the letter.
@Suite("Transcripts") struct TranscriptTests {
    static let root = URL(fileURLWithPath: PackageFiles.root)
    static let given: [URL] = {
        let folder = RaftInteractionRunner.transcriptFolder(packageRoot: root)
        let files = RaftInteractionRunner.files(under: folder)
        if files.isEmpty { print("skipped: raft transcripts (no \(folder.path))") }
        return files
    }()
    static let scenarios = RaftInteractionRunner.files(under: root.appendingPathComponent("Tests/Scenarios"))

    @Test(arguments: given) func transcript(file: URL) throws { try run(file) }

    @Test(arguments: scenarios) func scenario(file: URL) throws { try run(file) }

    private func run(_ file: URL) throws {
        let result = try RaftInteractionRunner.run(file)
        #expect(result.passed, "\(result.difference)")
    }
}
