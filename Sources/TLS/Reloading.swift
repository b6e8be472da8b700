internal import Logging
internal import Platform
internal import Synchronization

/// What some files say, read again when one of them has been replaced.
///
/// A replacement that cannot be used is logged once and the former value kept: certificate and key are two files, and
/// whoever renews them writes one after the other.
final class Reloading<Value: Sendable>: Sendable {
    private struct State {
        /// Of the files as they were when they were last tried; nil for one that is not there.
        var stamps: [FileStamp?]
        var value: Value
    }

    private let paths: [String]
    private let disk: any StampingDisk
    private let logger: Logger
    private let load: @Sendable () throws(TLSSetupError) -> Value
    private let state: Mutex<State>

    /// - Throws: when the files cannot be used as they are now.
    init(
        _ paths: [String], disk: any StampingDisk, logger: Logger,
        load: @escaping @Sendable () throws(TLSSetupError) -> Value
    ) throws(TLSSetupError) {
        self.paths = paths
        self.disk = disk
        self.logger = logger
        self.load = load
        // Before the content is read: what changes meanwhile is read again.
        let stamps = Self.stamps(paths, disk)
        state = Mutex(State(stamps: stamps, value: try load()))
    }

    /// The newest value; asks the disk for the files' stamps.
    func current() -> Value {
        let stamps = Self.stamps(paths, disk)
        return state.withLock { state in
            guard stamps != state.stamps else { return state.value }
            state.stamps = stamps
            do throws(TLSSetupError) {
                state.value = try load()
                logger.info("reloaded TLS files", metadata: ["files": .array(paths.map { .string($0) })])
            } catch {
                logger.warning(
                    "cannot reload TLS files; the former ones stay in use",
                    metadata: ["files": .array(paths.map { .string($0) }), "error": "\(error)"])
            }
            return state.value
        }
    }

    private static func stamps(_ paths: [String], _ disk: any StampingDisk) -> [FileStamp?] {
        paths.map { try? disk.stamp($0) }
    }
}
