internal import Foundation
internal import TestSupport

// Runs raft transcripts and says how many passed: `martlet-transcripts [--rewrite | --write] [folder or file]…`.
// Without a path: the folder that RAFT_TRANSCRIPTS names, or the fixtures beside the package, which may be missing.

var paths: [String] = []
var showsDifference = false
var writes = false
for argument in CommandLine.arguments.dropFirst() {
    switch argument {
    case "--rewrite": showsDifference = true
    case "--write": writes = true
    default: paths.append(argument)
    }
}
let root = URL(fileURLWithPath: PackageFiles.root)
let places =
    paths.isEmpty ? [RaftInteractionRunner.transcriptFolder(packageRoot: root)] : paths.map { URL(fileURLWithPath: $0) }
let files = places.flatMap { $0.pathExtension == "txt" ? [$0] : RaftInteractionRunner.files(under: $0) }
// A folder that somebody named must hold some; without the fixtures there is nothing to run.
let isAskedFor = !paths.isEmpty || ProcessInfo.processInfo.environment["RAFT_TRANSCRIPTS"]?.isEmpty == false
if files.isEmpty { print("skipped: raft transcripts (none under \(places.map(\.path).joined(separator: ", ")))") }

var passed = 0
var failed = 0
for file in files {
    do {
        let result = try RaftInteractionRunner.run(file)
        if result.passed {
            passed += 1
            continue
        }
        failed += 1
        print("FAIL \(file.path): \(result.mismatches.count) commands differ")
        if showsDifference { print(result.difference) }
        if writes { try result.rewritten.write(to: file, atomically: true, encoding: .utf8) }
    } catch {
        failed += 1
        print("FAIL \(file.path): \(error)")
    }
}
print("\(passed) passed, \(failed) failed")
exit(failed == 0 && !(files.isEmpty && isAskedFor) || showsDifference || writes ? 0 : 1)
