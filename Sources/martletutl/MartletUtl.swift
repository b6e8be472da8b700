internal import ArgumentParser
internal import Foundation
internal import Member
internal import PlatformLinux

/// What an operator does to a data directory without a server.
@main
struct MartletUtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martletutl", abstract: "Works on data directories of Martlet and etcd that no server uses.",
        subcommands: [Check.self])
}

extension MartletUtl {
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Checks a data directory from end to end.",
            discussion: """
                Reads every record of the write-ahead log (checksums chain from the first one), every raft snapshot, every
                page of the backend (each reachable once, keys in order) and every row, and sees whether they fit together:
                the backend must not be ahead of the log, nor behind its last snapshot. Nothing is changed, whoever wrote
                the directory: Martlet, or etcd 3.4 to 3.7. The server must be stopped.

                  martletutl check --data-dir default.etcd

                Each line begins with `ok`, `warning` (a server mends it at its start) or `problem` (a server would not
                start, or serve something wrong). The exit code is 1 when there is a problem.
                """)

        @Option(help: "The data directory, as the server's --data-dir.")
        var dataDir = "default.etcd"

        @Option(help: "The log's directory, if the server has --wal-dir.")
        var walDir: String?

        func run() throws {
            let check = DirectoryCheck(dataDir, walDirectory: walDir, on: LinuxDisk())
            for finding in check.findings { print("\(finding.level.rawValue): \(finding.text)") }
            if check.hasProblems { throw ExitCode(1) }
        }
    }
}
