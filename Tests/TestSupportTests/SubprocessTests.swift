import Foundation
import TestSupport
import Testing

@Suite(.serialized) struct SubprocessTests {
    @Test func tellsOutputAndEnd() async throws {
        let script = "cat; echo oops >&2; echo $GREETING; exit 3"
        let result = try await Subprocess.run(
            "/bin/sh", ["-c", script], input: Array("in\n".utf8), environment: ["GREETING": "hello"])
        #expect(result.text == "in\nhello\n" && result.errorText == "oops\n")
        #expect(result.status == 3 && !result.signalled)

        let killed = try await Subprocess.run("/bin/sh", ["-c", "kill -9 $$"])
        #expect(killed.status == 9 && killed.signalled)
    }

    @Test func saysWhatCannotBeStarted() async throws {
        let error = await #expect(throws: (any Error).self) { try await Subprocess.run("/nowhere/program") }
        #expect(String(describing: error).contains("/nowhere/program: No such file or directory"))
    }

    @Test func killsWhatTakesTooLong() async throws {
        let begin = ContinuousClock.now
        await #expect(throws: Subprocess.TimedOut.self) {
            try await Subprocess.run("/bin/sleep", ["100"], timeout: .milliseconds(100))
        }
        #expect(ContinuousClock.now - begin < .seconds(20))
    }

    /// A run of tests starts some thousand programs.
    @Test func leavesNoFilesOpen() async throws {
        _ = try await Subprocess.run("/bin/true")
        let before = try openFiles()
        for _ in 0..<30 { _ = try await Subprocess.run("/bin/true") }
        // Other tests may run beside this one.
        #expect(try openFiles() < before + 20)
    }

    /// Dispatch's threads block all signals, which a child must not inherit, and other files of ours are not its own.
    @Test func aChildBeginsAfresh() async throws {
        let other = try #require(FileHandle(forReadingAtPath: "/dev/zero"))
        let script = "grep SigBlk /proc/self/status; ls /proc/self/fd | wc -l"
        let result = try await Subprocess.run("/bin/sh", ["-c", script])
        // 0, 1, 2 and the folder that `ls` reads.
        #expect(result.text == "SigBlk:\t0000000000000000\n4\n")
        try other.close()
    }

    private func openFiles() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
    }
}
