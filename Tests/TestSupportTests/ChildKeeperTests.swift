import TestSupport
import Testing

@Suite struct ChildKeeperTests {
    private func sleeper() throws -> ChildProcess {
        try ChildProcess("/usr/bin/env", ["sleep", "1000"], outputPath: "/dev/null", errorPath: "/dev/null")
    }

    @Test func endsThoseThatAreKeptWhenItsOwnerIsGone() async throws {
        let keeper = try ChildKeeper()
        let (kept, forgotten, unknown) = (try sleeper(), try sleeper(), try sleeper())
        keeper.keep(kept.pid)
        keeper.keep(forgotten.pid)
        keeper.forget(forgotten.pid)
        keeper.forget(unknown.pid)
        #expect(await kept.waitForEnd(timeout: .milliseconds(200)) == nil)

        keeper.close()
        let end = try #require(await kept.waitForEnd(timeout: .seconds(10)))
        #expect(end.signalled && end.status == ChildProcess.Signal.kill.rawValue)
        #expect(forgotten.isRunning && unknown.isRunning)
        for other in [forgotten, unknown] {
            other.signal(.kill)
            _ = await other.waitForEnd(timeout: .seconds(10))
        }
    }
}
