import Foundation
import TestSupport

/// Makes the syncs of a server wait while a file exists, as a disk does that answers no more: a library of a few lines,
/// compiled for the test and loaded in front of the C library's own.
struct DiskStall {
    private static let source = """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdlib.h>
        #include <unistd.h>

        static void wait_while_stalled(void) {
            const char *path = getenv("MARTLET_STALL_FILE");
            while (path && access(path, F_OK) == 0) usleep(5000);
        }
        int fdatasync(int fd) {
            int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
            wait_while_stalled();
            return next(fd);
        }
        int fsync(int fd) {
            int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
            wait_while_stalled();
            return next(fd);
        }
        """

    private let library: String

    /// Compiles the library into `directory`, or says that it cannot and returns nil.
    static func make(in directory: String, for purpose: String) async throws -> DiskStall? {
        let compiler = ["/usr/bin/cc", "/usr/bin/clang", "/usr/bin/gcc"].first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
        guard let compiler else {
            print("skipped: \(purpose) (no C compiler)")
            return nil
        }
        let (source, library) = ("\(directory)/stall.c", "\(directory)/stall.so")
        try Self.source.write(toFile: source, atomically: true, encoding: .utf8)
        let result = try await Subprocess.run(compiler, ["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"])
        guard result.status == 0 else {
            print("skipped: \(purpose) (\(compiler): \(result.errorText))")
            return nil
        }
        return DiskStall(library: library)
    }

    /// What a server needs in its environment.
    func environment(_ options: ServerProcess.Options) -> [String: String] {
        ["LD_PRELOAD": library, "MARTLET_STALL_FILE": Self.file(options)]
    }

    func begin(_ options: ServerProcess.Options) {
        let made = FileManager.default.createFile(atPath: Self.file(options), contents: nil)
        precondition(made, "cannot make \(Self.file(options))")
    }
    func end(_ options: ServerProcess.Options) { try? FileManager.default.removeItem(atPath: Self.file(options)) }

    private static func file(_ options: ServerProcess.Options) -> String { options.dataDirectory + ".stalled" }
}
